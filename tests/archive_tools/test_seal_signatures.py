"""Signed manifests: with a local key, with OpenSSL as a second opinion, and with KMS."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from moto import mock_aws

from tests.archive_tools.conftest import Run, stop_clock
from tests.archive_tools.test_seal import DAY_S, DAYS, NOON, archive, manifest
from tests.support.needs import needed

__all__ = ["archive"]


def key_pair(folder: Path, name: str) -> tuple[str, str]:
    """The files of a new Ed25519 key and of its public half."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return str(private), str(public)


def signature(folder: Path, day: str) -> Path:
    (found,) = manifest(folder, day).parent.glob(f"day={day[-2:]}.*.sig")
    return found


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    return key_pair(tmp_path, "seal")


def test_every_manifest_is_signed_and_openssl_agrees(
    archive: Path, run: Run, keys: tuple[str, str], tmp_path: Path
) -> None:
    needed("openssl", shutil.which("openssl"))
    assert run("seal", "--key", keys[0]).exit_code == 0
    result = run("verify", "--sealed", "--public-key", keys[1])
    assert result.exit_code == 0, result.output
    assert "Signed with a given key from 2026-11-20 on" in result.stdout
    value = json.loads(signature(archive, DAYS[1]).read_bytes())["signature"]
    (tmp_path / "signature").write_bytes(base64.b64decode(value))
    done = subprocess.run(
        [
            *("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin"),
            *("-in", manifest(archive, DAYS[1]), "-sigfile", tmp_path / "signature"),
        ],
        capture_output=True,
        text=True,
    )
    assert "Signature Verified Successfully" in done.stdout


def test_a_chain_that_was_written_anew_without_the_key_is_seen(
    archive: Path, run: Run, keys: tuple[str, str], tmp_path: Path
) -> None:
    run("seal", "--key", keys[0])
    shutil.rmtree(archive / "manifests")
    next((archive / "webhooks").rglob("a.json.gz")).unlink()
    run("seal", "--key", key_pair(tmp_path, "other")[0])
    assert run("verify", "--sealed").exit_code == 0
    result = run("verify", "--sealed", "--public-key", keys[1])
    assert result.exit_code == 1
    assert "it is signed with a key that was not given" in result.stdout
    assert "no manifest is signed with a key that was given" in result.stdout


def test_a_manifest_after_the_first_signed_one_has_to_be_signed(
    archive: Path, run: Run, keys: tuple[str, str]
) -> None:
    run("seal", "--key", keys[0])
    signature(archive, DAYS[2]).unlink()
    result = run("verify", "--sealed", "--public-key", keys[1])
    assert result.exit_code == 1
    assert "day=22.json: not signed, and one before it is" in result.stdout


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000])
def test_a_signature_that_is_none_is_seen(
    archive: Path, run: Run, keys: tuple[str, str], content: bytes
) -> None:
    run("seal", "--key", keys[0])
    signature(archive, DAYS[2]).write_bytes(content)
    result = run("verify", "--sealed", "--public-key", keys[1])
    assert result.exit_code == 1
    assert "day=22.json: its signature is none" in result.stdout


def test_a_signature_of_another_manifest_is_not_valid(
    archive: Path, run: Run, keys: tuple[str, str]
) -> None:
    run("seal", "--key", keys[0])
    shutil.copy(signature(archive, DAYS[1]), signature(archive, DAYS[2]))
    result = run("verify", "--sealed", "--public-key", keys[1])
    assert "day=22.json: its signature is not valid" in result.stdout


def test_days_sealed_before_there_was_a_key_are_covered_by_the_chain(
    archive: Path, run: Run, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("seal")
    assert run("verify", "--sealed", "--public-key", keys[1]).exit_code == 1
    stop_clock(monkeypatch, NOON + DAY_S)
    run("seal", "--key", keys[0])
    result = run("verify", "--sealed", "--public-key", keys[1], "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["signed_from"] == "2026-11-23"


def test_what_is_no_key_is_refused(archive: Path, run: Run, keys: tuple[str, str]) -> None:
    assert "is no private Ed25519 key" in run("seal", "--key", keys[1]).stderr
    assert "is no public key" in run("verify", "--sealed", "--public-key", keys[0]).stderr
    assert "are two keys" in run("seal", "--key", keys[0], "--kms", "alias/seal").stderr
    assert "add --sealed" in run("verify", "--public-key", keys[1]).stderr


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    # moto hashes what it is told is a digest: it has no MessageType
    digest, pss = Prehashed(SHA256()), padding.PSS(padding.MGF1(SHA256()), 32)
    for name, how in {"ECDSA": (ec.ECDSA(digest),), "RSA": (pss, digest)}.items():
        monkeypatch.setattr(
            f"moto.kms.utils.{name}PrivateKey.sign",
            lambda key, message, _, how=how: key.private_key.sign(message, *how),
        )
    with mock_aws():
        yield


@pytest.mark.usefixtures("kms")
@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_2048"])
def test_a_key_of_kms_signs_and_its_public_half_checks(
    archive: Path, run: Run, spec: str, tmp_path: Path
) -> None:
    client = boto3.client("kms", "us-east-1")
    made = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)
    key = made["KeyMetadata"]["KeyId"]
    assert run("seal", "--kms", key).exit_code == 0
    result = run("verify", "--sealed", "--kms", key)
    assert result.exit_code == 0, result.output
    der = client.get_public_key(KeyId=key)["PublicKey"]
    pem = base64.encodebytes(der).decode()
    public = tmp_path / "kms.pub"
    public.write_text(f"-----BEGIN PUBLIC KEY-----\n{pem}-----END PUBLIC KEY-----\n")
    assert run("verify", "--sealed", "--public-key", str(public)).exit_code == 0
    other = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    wrong = run("verify", "--sealed", "--kms", other["KeyMetadata"]["KeyId"])
    assert wrong.exit_code == 1


@pytest.mark.usefixtures("kms", "archive")
def test_a_key_of_kms_that_is_not_there_or_of_another_kind_is_refused(run: Run) -> None:
    assert "KMS does not let alias/none be used" in run("seal", "--kms", "alias/none").stderr
    client = boto3.client("kms", "us-east-1")
    made = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P521")
    key = made["KeyMetadata"]["KeyId"]
    assert "signs with neither ECDSA_SHA_256" in run("seal", "--kms", key).stderr

"""Signatures of manifests: made with a local Ed25519 key or in KMS, checked with public keys alone.

The signature is over the bytes of the manifest. It is JSON in a file of its own beside it.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ToolError
from ..reading import Fault, Faults
from ..storage import Storage, error_code
from .manifest import key_of, sha256, signature_key
from .sealer import Sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

ED25519 = "Ed25519"
#: KMS's own names: https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
ECDSA = "ECDSA_SHA_256"
RSA_PSS = "RSASSA_PSS_SHA_256"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The signature of a manifest."""

    algorithm: str
    manifest_sha256: str
    public_key_sha256: str
    """Of the DER of its SubjectPublicKeyInfo: which key it was."""
    signature: str
    """Base64."""


def _encoded(algorithm: str, data: bytes, der: bytes, signature: bytes) -> bytes:
    fields = Signature(
        algorithm=algorithm,
        manifest_sha256=sha256(data),
        public_key_sha256=sha256(der),
        signature=base64.b64encode(signature).decode(),
    )
    return json.dumps(msgspec.to_builtins(fields), sort_keys=True).encode() + b"\n"


def file_signer(path: Path) -> Sign:
    """Return what signs with an Ed25519 key in a PEM file.

    Raises:
        ToolError: the file has none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ToolError(
            f"{path} is no private Ed25519 key in PEM without a password",
            "make one: openssl genpkey -algorithm ed25519 -out seal.pem",
        )
    der = _der(key.public_key())
    return lambda data: _encoded(ED25519, data, der, key.sign(data))


def kms_signer(key_id: str, region: str | None) -> Sign:
    """Return what signs with an asymmetric key of KMS, which the key never leaves.

    Raises:
        ToolError: KMS refuses, or the key is of another kind.
    """
    client = _kms_client(region)
    der, algorithm = _kms_public_key(client, key_id)

    def sign(data: bytes) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = client.sign(
                KeyId=key_id,
                Message=hashlib.sha256(data).digest(),
                # a message of more than 4,096 bytes has to be hashed before
                MessageType="DIGEST",
                SigningAlgorithm=algorithm,
            )
        except (ClientError, BotoCoreError) as error:
            raise _kms_error(key_id, error) from error
        return _encoded(algorithm, data, der, answer["Signature"])

    return sign


def _kms_client(region: str | None) -> Any:
    import boto3

    return boto3.Session().client("kms", region_name=region)


def _kms_public_key(client: Any, key_id: str) -> tuple[bytes, str]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.get_public_key(KeyId=key_id)
    except (ClientError, BotoCoreError) as error:
        raise _kms_error(key_id, error) from error
    for algorithm in (ECDSA, RSA_PSS):
        if algorithm in answer["SigningAlgorithms"]:
            return answer["PublicKey"], algorithm
    raise ToolError(
        f"The key {key_id} signs with neither {ECDSA} nor {RSA_PSS}",
        "make an asymmetric key for signing of the spec ECC_NIST_P256",
    )


def _kms_error(key_id: str, error: Exception) -> ToolError:
    return ToolError(
        f"KMS does not let {key_id} be used: {error_code(error)}",
        "look at the key's id, AWS_REGION, and whether these credentials have kms:Sign (to seal) "
        "and kms:GetPublicKey on it",
    )


def _der(key: "PublicKeyTypes") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_keys(files: Iterable[Path], kms: Iterable[str], region: str | None) -> "PublicKeys":
    """Return the public keys of PEM files and of keys in KMS.

    Raises:
        ToolError: a file has none, or KMS refuses.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        load_der_public_key,
        load_pem_public_key,
    )

    found: dict[str, PublicKeyTypes] = {}
    for path in files:
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm):
            raise ToolError(
                f"{path} is no public key in PEM",
                "make it of the private one: openssl pkey -in seal.pem -pubout -out seal.pub",
            ) from None
        found[sha256(_der(key))] = key
    for key_id in kms:
        der, _ = _kms_public_key(_kms_client(region), key_id)
        found[sha256(der)] = load_der_public_key(der)
    return PublicKeys(found)


@dataclass(frozen=True)
class PublicKeys:
    """Public keys by the SHA-256 of their DER."""

    keys: "dict[str, PublicKeyTypes]"

    def problem(self, signature: bytes, data: bytes) -> str | None:
        """Return what is wrong with the signature of a manifest, None where it is valid."""
        from cryptography.exceptions import InvalidSignature

        try:
            fields = msgspec.json.decode(signature, type=Signature)
            value = base64.b64decode(fields.signature, validate=True)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
            return "its signature is none"
        if not (key := self.keys.get(fields.public_key_sha256)):
            return "it is signed with a key that was not given"
        try:
            _check(key, value, data)
        except (InvalidSignature, TypeError):
            return "its signature is not valid"
        return None


def _check(key: "PublicKeyTypes", signature: bytes, data: bytes) -> None:
    """Return where a signature is valid.

    Raises:
        InvalidSignature: it is not.
        TypeError: the key is of no kind that signs manifests.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    # by the kind of the key: what the signature says of itself, anybody can write
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, data)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, ec.ECDSA(SHA256()))
    elif isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
        key.verify(signature, data, pss, SHA256())
    else:
        raise TypeError


@dataclass
class Signatures:
    """Who has signed the manifests. From the first signed one on, each must be."""

    storage: Storage
    keys: PublicKeys
    signed_from: date | None = None
    faults: Faults = field(default_factory=Faults)

    def take(self, day: date, data: bytes) -> None:
        """Check the signature of a manifest; the days come in their order."""
        try:
            with self.storage.open(signature_key(day, sha256(data))) as stored:
                problem = self.keys.problem(stored.read(), data)
        except OSError:
            if self.signed_from:
                self.faults.add(Fault(key_of(day), None, "not signed, and one before it is"))
            return
        if problem:
            self.faults.add(Fault(key_of(day), None, problem))
        elif self.signed_from is None:
            self.signed_from = day

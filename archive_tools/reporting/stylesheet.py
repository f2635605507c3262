"""How a report looks: on a wide screen and a narrow one, in the light, in the dark and on paper.

Knows the classes that charts and blocks use. No text is below a contrast of 4.5 with its ground.
"""

_LIGHT = """
--ground: #ffffff; --panel: #f5f7f9; --text: #1b2329; --soft: #53606b; --rule: #dde3e8;
--zero: #94a0ab; --link: #0b5cad; --good: #0b6b4f; --bad: #a3341c;
--c1: #0068b3; --c2: #e08a00; --c3: #0a8f6c; --c4: #b8478f; --c5: #57aee0; --c6: #c94f16;
--c7: #6d58b5; --c8: #9aa5af;
--h0: #eef1f4; --h1: #c3dcef; --h2: #86b8dd; --h3: #3f8cc4; --h4: #075a9c; --gap: #d5491f;
"""

_DARK = """
--ground: #12171c; --panel: #1b2228; --text: #e6ebef; --soft: #a3b0bb; --rule: #2f3943;
--zero: #6b7884; --link: #7dbcf2; --good: #5fd0a8; --bad: #ff9c80;
--c1: #3f9be3; --c2: #f2b04a; --c3: #3cc49b; --c4: #e58cc2; --c5: #9ad3f5; --c6: #f27f48;
--c7: #a996ec; --c8: #7c8893;
--h0: #20282f; --h1: #1f435f; --h2: #29699a; --h3: #3f95d6; --h4: #9fd2f7; --gap: #ff8a5c;
"""

_SHAPE = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans",
    Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
main, header, footer { max-width: 1040px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 40px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 6px; }
h2 { font-size: 21px; line-height: 1.3; letter-spacing: -.01em; margin: 0 0 8px; }
h3 { font-size: 16px; margin: 28px 0 4px; }
p { max-width: 46em; margin: 0 0 14px; }
a { color: var(--link); }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  font-size: .9em; overflow-wrap: anywhere; }
section { padding: 28px 0 0; border-top: 1px solid var(--rule); margin-top: 26px; }
.soft, figcaption, caption, summary, footer { color: var(--soft); }
.soft { overflow-wrap: anywhere; }
.skip { position: absolute; left: -999em; }
.skip:focus { left: 20px; top: 8px; }
.verdict { border-left: 4px solid var(--good); background: var(--panel); padding: 14px 18px;
  border-radius: 0 6px 6px 0; margin: 24px 0; }
.verdict.look { border-color: var(--bad); }
.verdict h2 { font-size: 17px; margin: 0; }
.verdict a { white-space: nowrap; }
.verdict ul { margin: 8px 0 0; padding-left: 20px; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px;
  margin: 0; }
.tiles div { background: var(--panel); border-radius: 6px; padding: 12px 14px; }
.tiles dt { font-size: 13px; color: var(--soft); }
.tiles dd { margin: 2px 0 0; }
.tiles .big { font-size: 25px; line-height: 1.25; font-weight: 600; letter-spacing: -.02em; }
.tiles .small { font-size: 13px; color: var(--soft); line-height: 1.4; }
figure { margin: 20px 0 8px; }
figcaption { font-size: 14px; margin-bottom: 8px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr));
  gap: 0 36px; }
.pair > * { min-width: 0; }
svg.chart { display: block; width: calc(100% - 78px); margin: 12px 20px 6px 58px;
  overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); }
.pair .wide { display: none; }
svg .at { text-anchor: end; }
svg .below { text-anchor: middle; }
svg .rule { stroke: var(--rule); shape-rendering: crispEdges; }
svg .zero { stroke: var(--zero); shape-rendering: crispEdges; }
svg .line { fill: none; stroke-width: 1.75; stroke-linejoin: round;
  vector-effect: non-scaling-stroke; }
svg .hit { fill: transparent; }
svg g:hover > .hit { fill: var(--zero); fill-opacity: .16; }
svg .apart rect { stroke: var(--ground); vector-effect: non-scaling-stroke; }
.key { width: 12px; height: 12px; margin-right: 6px; flex: none; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; padding: 0; margin: 0;
  font-size: 14px; }
.legend li { display: flex; align-items: center; overflow-wrap: anywhere; }
.legend b { font-weight: 600; margin-left: 6px; white-space: nowrap; }
details { margin: 6px 0 14px; font-size: 14px; }
summary { cursor: pointer; padding: 4px 0; }
.scroll { overflow-x: auto; max-width: 100%; margin: 8px 0 16px; }
table { border-collapse: collapse; font-size: 14px; }
caption { text-align: left; padding-bottom: 6px; }
th, td { padding: 4px 18px 4px 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; color: var(--soft); }
.n { text-align: right; }
footer { font-size: 14px; padding-top: 28px; padding-bottom: 48px; }
"""

_NARROW = """
@media (max-width: 640px) {
  header { padding-top: 24px; }
  h1 { font-size: 25px; }
  main, header, footer { padding-left: 16px; padding-right: 16px; }
  .tiles { grid-template-columns: 1fr 1fr; }
  th, td { padding-right: 12px; }
  .wide { display: none; }
}
"""

_PAPER = """
@page { size: A4; margin: 14mm 12mm; }
@media print {
  :root { color-scheme: light; %s }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 11pt; }
  header { padding-top: 0; }
  main, header, footer { max-width: none; padding: 0; }
  details, .skip { display: none; }
  h2, h3 { break-after: avoid; }
  section { padding-top: 18px; margin-top: 18px; }
  .tiles, .verdict, tr, figure { break-inside: avoid; }
  .pair { grid-template-columns: 1fr 1fr; }
  .scroll { overflow: visible; }
  table { font-size: 9pt; }
  th, td { padding-right: 10px; white-space: normal; overflow-wrap: anywhere; }
}
"""


def css(kinds: int = 8) -> str:
    """Return the style sheet, with classes `c1` and so on for the colours of series."""
    colours = "".join(
        f"svg rect.c{n}, svg .dot.c{n} {{ fill: var(--c{n}); }}\n"
        f"svg .line.c{n} {{ stroke: var(--c{n}); }}\n"
        for n in range(1, kinds + 1)
    )
    colours += "".join(
        f"svg .{name} {{ fill: var(--{name}); }}\n"
        for name in ("h0", "h1", "h2", "h3", "h4", "gap")
    )
    dashes = "svg .line.c3 { stroke-dasharray: 7 4; }\nsvg .line.c6 { stroke-dasharray: 2 3; }\n"
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}\n"
    return (
        f":root {{ color-scheme: light dark; {_LIGHT} }}\n{dark}{_SHAPE}{colours}{dashes}{_NARROW}"
        + _PAPER % _LIGHT
    )

"""How a report looks: on a screen and on paper."""

from __future__ import annotations

STYLE = """
:root { --ink: #1f2a33; --quiet: #5d6a74; --line: #e1e6e9; --soft: #f5f7f8; --deep: #0b4f6c;
  --warn: #fff6ea; --warn-line: #e69f00; }
* { box-sizing: border-box; }
body { margin: 0; background: #eef1f3; color: var(--ink);
  font: 16px/1.55 "Segoe UI", "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 56px 64px; background: white; }
header p { margin: 0; color: var(--quiet); }
h1 { margin: 0 0 4px; font-size: 30px; line-height: 1.25; font-weight: 650; color: var(--deep);
  overflow-wrap: anywhere; }
h2 { margin: 48px 0 12px; padding-top: 20px; border-top: 1px solid var(--line); font-size: 21px;
  font-weight: 650; color: var(--deep); }
h3 { margin: 28px 0 8px; font-size: 16px; font-weight: 650; }
p { margin: 8px 0; max-width: 76ch; overflow-wrap: anywhere; }
.lead { font-size: 18px; margin-top: 20px; }
.note, figcaption { color: var(--quiet); font-size: 14px; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 24px 0; }
.card { flex: 1 1 150px; max-width: 260px; padding: 14px 16px; background: var(--soft);
  border-radius: 8px; border-top: 4px solid var(--deep); overflow-wrap: anywhere; }
.card b { display: block; font-size: 29px; line-height: 1.2; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.card span { color: var(--quiet); font-size: 14px; }
.limits { margin: 24px 0; padding: 14px 22px; background: var(--warn);
  border-left: 4px solid var(--warn-line); border-radius: 0 8px 8px 0; }
.limits h2 { margin: 0 0 4px; padding: 0; border: 0; font-size: 16px; color: var(--ink); }
.limits ul { margin: 0; padding-left: 20px; }
.limits li { margin: 5px 0; max-width: 76ch; overflow-wrap: anywhere; }
.table { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-size: 15px; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--quiet); font-weight: 600; font-size: 13.5px; vertical-align: bottom; }
td { overflow-wrap: anywhere; min-width: 6.5em; }
.number { text-align: right; min-width: 0; padding-left: 14px; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
th.number { white-space: normal; }
.swatch { display: inline-block; width: 12px; height: 12px; margin-right: 8px; border-radius: 3px;
  border: 1px solid rgba(0, 0, 0, 0.25); vertical-align: -1px; }
.total td { font-weight: 650; border-top: 2px solid var(--quiet); }
figure { margin: 16px 0 24px; break-inside: avoid; }
img { display: block; max-width: 100%; height: auto; }
.example figcaption { margin-top: 6px; }
.example img { border-radius: 4px; }
.panels { display: grid; grid-template-columns: repeat(3, 1fr); max-width: 1008px;
  color: var(--quiet); font-size: 13.5px; font-weight: 600; margin-bottom: 2px; }
.gallery { display: flex; flex-wrap: wrap; gap: 20px; }
.gallery figure { width: 224px; margin: 8px 0 16px; }
.gallery img { border-radius: 4px; }
.gallery figcaption { margin-top: 6px; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(130px, max-content) 1fr; gap: 6px 24px;
  margin: 12px 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: 14px/1.5 "DejaVu Sans Mono", Menlo, Consolas, monospace; background: var(--soft);
  padding: 1px 5px; border-radius: 4px; overflow-wrap: anywhere; }
details { margin: 12px 0; }
summary { cursor: pointer; color: var(--deep); }
@media (max-width: 700px) { main { padding: 24px 18px; } }
@media print { * { print-color-adjust: exact; }
  body { background: white; font-size: 11pt; } main { max-width: none; padding: 0; }
  .table { overflow: visible; } table { font-size: 8.5pt; } th, .number span { font-size: 8pt; }
  th, td { padding-right: 5px; } .number { padding-left: 5px; }
  h2, h3 { break-after: avoid; } tr, .card, .limits { break-inside: avoid; }
  details::details-content { content-visibility: visible; } }
"""

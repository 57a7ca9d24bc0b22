"""How report.html looks, and what sorts its tables."""

STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2024; --soft: #5b646d; --paper: #fff; --line: #d8dde2; --tint: #f4f6f8; --link: #0b62a8;
  --better: #0a6b3d; --worse: #b3390b; --warning: #8a5a00; --notice: #fff4dc; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e4e8eb; --soft: #9aa5af; --paper: #15181b; --line: #343b42; --tint: #1e2327; --link: #6db5f0;
  --better: #5fcf95; --worse: #ff9a70; --warning: #e9bd5c; --notice: #33290f; }
  img { filter: invert(0.91) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 100rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 0.5rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; }
p, ul, dl { max-width: 48rem; }
.status { font-weight: 600; }
.notice { background: var(--notice); border-left: 4px solid var(--warning); padding: 0.5rem 0.8rem; margin: 0.5rem 0; }
.prose { white-space: pre-line; }
.scroll { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: 0.8125rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.55rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
td:first-child, .verdict { white-space: normal; min-width: 11rem; }
td:first-child, th:first-child { position: sticky; left: 0; background: inherit; }
tbody tr { background: var(--paper); }
thead tr { background: var(--tint); }
thead th { border-bottom: 2px solid var(--line); padding: 0; }
th button { all: unset; display: block; cursor: pointer; padding: 0.4rem 0.55rem; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--link); outline-offset: -2px; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.number, .number button { text-align: right; }
.text, .text button { text-align: left; }
tbody tr:hover { background: var(--tint); }
tr.baseline { background: var(--tint); }
tr.better .verdict { color: var(--better); font-weight: 600; }
tr.worse .verdict { color: var(--worse); font-weight: 600; }
tr.warning .verdict { color: var(--warning); }
figure { margin: 1.5rem 0; }
img { max-width: 100%; height: auto; }
figcaption, dt { color: var(--soft); }
figcaption { font-size: 0.9rem; max-width: 48rem; }
details { margin: 0.4rem 0; }
summary { cursor: pointer; }
pre { background: var(--tint); padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.2rem; }
dd { margin: 0; }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const isText = head.classList.contains("text"), key = row => row.cells[column].dataset.key;
    const compare = (a, b) => isText ? a.localeCompare(b) : a - b;
    const missing = row => key(row) === "" ? 1 : 0;
    [...body.rows].sort((a, b) => missing(a) - missing(b) || sign * compare(key(a), key(b)))
      .forEach(row => body.append(row));
  }));
}
"""

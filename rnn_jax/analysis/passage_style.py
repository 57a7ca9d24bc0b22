"""How the page of a passage looks."""

# Colours are laid over the paper, by how much --a says. Each is far enough from the ink for text to be read on it.
STYLE = """
:root { color-scheme: light dark;
  --ink: 28 32 36; --soft: 91 101 109; --paper: 255 255 255; --unknown: 196 202 208;
  --loss: 255 140 50; --plus: 248 113 113; --minus: 96 155 250; }
@media (prefers-color-scheme: dark) { :root {
  --ink: 228 232 235; --soft: 154 165 175; --paper: 21 24 27; --unknown: 74 82 90;
  --loss: 160 74 0; --plus: 170 44 44; --minus: 36 88 184; } }
* { box-sizing: border-box; }
body { margin: 0; background: rgb(var(--paper)); color: rgb(var(--ink)); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 0.5rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 0.2rem; }
.status { font-weight: 600; }
.legend { color: rgb(var(--soft)); font-size: 0.875rem; margin: 0 0 0.6rem; }
.legend span { color: rgb(var(--ink)); padding: 0.15rem 0.6rem; font-variant-numeric: tabular-nums; }
.text { font: 1rem/1.75 ui-monospace, "DejaVu Sans Mono", monospace; margin: 0 0 1rem; unicode-bidi: plaintext;
  white-space: break-spaces; overflow-wrap: anywhere; }
.text, .legend { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.losses > span { box-shadow: inset 1px 0 rgb(var(--paper)); }
.loss { background: rgb(var(--loss) / var(--a)); }
.plus { background: rgb(var(--plus) / var(--a)); }
.minus { background: rgb(var(--minus) / var(--a)); }
.unknown { background: rgb(var(--unknown)); }
i { font-style: normal; }
i::before { color: rgb(var(--ink) / 0.5); }
.space { position: relative; }
.space::before { content: "·"; position: absolute; inset-inline: 0; text-align: center; }
.break::before { content: "⏎"; }
.tab::before { content: "⇥"; }
.code { font-size: 0.75em; }
.empty::before { content: "∅"; color: rgb(var(--ink) / 0.5); }
.mark::before { content: "◌"; }
"""

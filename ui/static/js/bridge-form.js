// @ts-check
// The topics of a bridge as rows to fill in. The text they are made of stays beside
// them: it is what the form sends, and what those without JavaScript write.

/** @typedef {{filter: string, direction: string, qos: string, here: string, there: string}} Topic */

/** Reads a line as the server does, null: it can't be shown as a row. @returns {Topic | null} */
export function parse(/** @type {string} */ line) {
  const rest = line.trim().replace(/^topic(?=\s)/, '').trim();
  const fields = [...rest.matchAll(/"([^"]*)"|[^\s"]+/g)].map((m) => m[1] ?? m[0]);
  if (rest.replace(/"[^"]*"|[^\s"]+/g, '').trim() !== '' || fields.length > 5) return null;
  const [filter = '', direction = 'out', qos = '0', here = '', there = ''] = fields;
  if (!['in', 'out', 'both'].includes(direction.toLowerCase()) || !/^[012]$/.test(qos)) return null;
  return { filter, direction: direction.toLowerCase(), qos, here, there };
}

function quoted(/** @type {string} */ text) {
  return text === '' || /[\s"]/.test(text) ? `"${text}"` : text;
}

/** Writes a line that parse reads. */
export function write(/** @type {Topic} */ t) {
  const prefixes = t.here || t.there ? ` ${quoted(t.here)} ${quoted(t.there)}` : '';
  return `${quoted(t.filter)} ${t.direction} ${t.qos}${prefixes}`;
}

const NAMES = /** @type {const} */ (['filter', 'direction', 'qos', 'here', 'there']);

function start() {
  const box = document.querySelector('[data-bridge-topics]');
  const fold = document.querySelector('[data-bridge-text]');
  const text = fold?.querySelector('textarea');
  const pattern = box?.querySelector('template')?.content.firstElementChild;
  const rows = box?.querySelector('[data-rows]');
  const add = box?.querySelector('[data-add]');
  if (!(box instanceof HTMLElement) || !(fold instanceof HTMLDetailsElement) || !text || !pattern || !rows || !(add instanceof HTMLElement)) return;

  const field = (/** @type {Element} */ row, /** @type {string} */ name) =>
    /** @type {HTMLInputElement | HTMLSelectElement} */ (row.querySelector(`[data-part="${name}"]`));
  const store = () => {
    const list = [...rows.children].map((row) => /** @type {Topic} */ (Object.fromEntries(NAMES.map((n) => [n, field(row, n).value.trim()]))));
    text.value = list.filter((t) => t.filter || t.here || t.there).map(write).join('\n');
  };
  const number = () => [...rows.children].forEach((row, i) => {
    const legend = row.querySelector('legend');
    if (legend) legend.textContent = `Topic ${i + 1}`;
  });
  const append = (/** @type {Topic} */ t) => {
    const row = /** @type {HTMLElement} */ (pattern.cloneNode(true));
    for (const n of NAMES) field(row, n).value = t[n];
    const more = row.querySelector('details');
    if (more) more.open = t.here !== '' || t.there !== '';
    row.querySelector('[data-remove]')?.addEventListener('click', () => {
      row.remove();
      number();
      store();
      text.dispatchEvent(new Event('input', { bubbles: true }));
      add.focus();
    });
    rows.append(row);
    number();
    return row;
  };
  const fill = () => {
    const list = text.value.split(/\r?\n/).filter((l) => l.trim()).map(parse);
    box.hidden = list.includes(null); // a slip in the text is put right there
    if (box.hidden) fold.open = true;
    else rows.replaceChildren();
    if (box.hidden) return;
    for (const t of list) if (t) append(t);
    if (list.length === 0) append({ filter: '', direction: 'out', qos: '1', here: '', there: '' });
  };
  fill();
  fold.open = box.hidden || text.getAttribute('aria-invalid') === 'true';
  rows.addEventListener('input', store);
  rows.addEventListener('change', store);
  text.addEventListener('change', fill);
  add.addEventListener('click', () => field(append({ filter: '', direction: 'out', qos: '1', here: '', there: '' }), 'filter').focus());
}

start();

// @ts-check
// Reads JSON without changing it: numbers keep all their digits, members their
// order, and a key that stands twice is shown twice. JSON.parse does none of it.

/**
 * @typedef {{type: 'object' | 'array', items: {key: string, value: Json}[]}} Branch
 * @typedef {{type: 'string' | 'number' | 'word', text: string}} Leaf
 * @typedef {Branch | Leaf} Json
 */

const MAX_DEPTH = 100;
const MAX_VALUES = 20_000;

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/** @returns {Json | null} null when the text is no JSON, or too much of it. */
export function parseJSON(/** @type {string} */ text) {
  let at = 0;
  let values = 0;
  const take = (/** @type {RegExp} */ what) => {
    what.lastIndex = at;
    const m = what.exec(text);
    if (!m) return '';
    at = what.lastIndex;
    return m[0];
  };
  const fail = () => { throw new SyntaxError('not JSON'); };

  /** @returns {Json} */
  const value = (/** @type {number} */ depth) => {
    if (depth > MAX_DEPTH || ++values > MAX_VALUES) fail();
    take(SPACE);
    const c = text[at];
    /** @type {Json} */ let v;
    if (c === '{' || c === '[') v = branch(depth, c === '{');
    else if (c === '"') v = { type: 'string', text: JSON.parse(take(STRING) || fail()) };
    else {
      const word = take(WORD);
      v = word ? { type: 'word', text: word } : { type: 'number', text: take(NUMBER) || fail() };
    }
    take(SPACE);
    return v;
  };

  /** @returns {Branch} */
  const branch = (/** @type {number} */ depth, /** @type {boolean} */ object) => {
    const end = object ? '}' : ']';
    /** @type {Branch} */ const b = { type: object ? 'object' : 'array', items: [] };
    at++;
    take(SPACE);
    if (text[at] === end) {
      at++;
      return b;
    }
    for (;;) {
      let key = String(b.items.length);
      if (object) {
        take(SPACE);
        key = JSON.parse(take(STRING) || fail());
        take(SPACE);
        if (text[at++] !== ':') fail();
      }
      b.items.push({ key, value: value(depth + 1) });
      const next = text[at++];
      if (next === end) return b;
      if (next !== ',') fail();
    }
  };

  try {
    const v = value(0);
    return at === text.length ? v : null;
  } catch (e) {
    if (e instanceof SyntaxError) return null;
    throw e;
  }
}

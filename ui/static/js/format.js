// @ts-check
// Numbers, times and hostile text for people. All of it ends in textContent.

const THIN = '\u202f';

/** A number with thin spaces between groups of three digits. */
export function count(/** @type {number} */ n) {
  return String(Math.trunc(n)).replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

/** "1 topic", "2 topics" */
export function plural(/** @type {number} */ n, /** @type {string} */ one, /** @type {string} */ many) {
  return n === 1 ? `1 ${one}` : `${count(n)} ${many}`;
}

function decimal(/** @type {number} */ n) {
  return n < 9.95 ? n.toFixed(1) : count(Math.round(n));
}

/** A size in the largest unit that fits. */
export function bytes(/** @type {number} */ n) {
  if (n < 1e3) return `${n} B`;
  if (n < 1e6) return `${decimal(n / 1e3)} kB`;
  if (n < 1e9) return `${decimal(n / 1e6)} MB`;
  return `${decimal(n / 1e9)} GB`;
}

/** A length of time in one unit, for a narrow column. */
export function shortSpan(/** @type {number} */ ms) {
  const s = ms / 1000;
  if (s < 1.5) return 'now';
  if (s < 99.5) return `${Math.round(s)}${THIN}s`;
  if (s < 5940) return `${Math.round(s / 60)}${THIN}min`;
  if (s < 172_800) return `${Math.round(s / 3600)}${THIN}h`;
  return `${Math.round(s / 86_400)}${THIN}d`;
}

/** The time of the day, as the server writes it into the other pages. */
export function clock(/** @type {Date} */ at, seconds = true) {
  return [at.getHours(), at.getMinutes(), ...(seconds ? [at.getSeconds()] : [])].map((n) => String(n).padStart(2, '0')).join(':');
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** "7 Nov", also as the server writes it. */
export function day(/** @type {Date} */ at) {
  return `${at.getDate()} ${MONTHS[at.getMonth()]}`;
}

/** How long ago, in words. */
export function ago(/** @type {number} */ ms) {
  return ms < 1500 ? 'just now' : `${shortSpan(ms)} ago`;
}

/** Messages a second, or how far apart rare ones are. */
export function rate(/** @type {number} */ perSecond, /** @type {number} */ every) {
  if (perSecond >= 0.95) return `${decimal(perSecond)} a second`;
  if (every > 0.95) return `about every ${shortSpan(every * 1000).replace('now', '1 s')}`;
  if (perSecond > 0.05) return `${perSecond.toFixed(1)} a second`;
  return 'rare';
}

// Characters without a shape of their own, or that turn the order of others:
// a topic must not be able to look like another one. Go's payload.Visible and
// ui.shown say the same.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const UNSEEN_IN_TEXT = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

function standIn(/** @type {string} */ c) {
  const code = c.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? '\u2421' : '\ufffd';
}

/** One line: everything that can't be seen is made visible. */
export function visible(/** @type {string} */ text) {
  return text.replace(UNSEEN, standIn);
}

/** Several lines: tabs and line breaks stay. */
export function visibleText(/** @type {string} */ text) {
  return text.replace(/\r\n/g, '\n').replace(UNSEEN_IN_TEXT, standIn);
}

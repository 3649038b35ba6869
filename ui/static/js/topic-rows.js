// @ts-check
// The part of the tree's rows that this page shows, as the server lists them, with
// their values. Without any DOM.

/**
 * @typedef {{text: string, count: number, at: number, retained: boolean, rate: number}} Value
 * @typedef {{index: number, id: number, level: number, up: number, pos: number, size: number, name: string, topic: boolean,
 *   folder: boolean, open: boolean, count: number, value: Value | null}} TopicRow
 * @typedef {import('./socket.js').List} List
 */

export class TopicRows {
  all = 0; // rows that there are
  topics = 0; // topics that there are, listed or not
  from = 0; // the part that is here
  to = 0;
  /** @type {Map<number, TopicRow>} by index */ #rows = new Map();
  /** @type {Map<number, TopicRow>} */ #byID = new Map();
  /** @type {Map<number, string>} folders that are open by hand, and their topics */ opened = new Map();

  reset() {
    this.all = this.topics = this.from = this.to = 0;
    this.#rows.clear();
    this.#byID.clear();
  }

  take(/** @type {List} */ list) {
    const before = this.#byID;
    /** @type {Map<number, TopicRow>} */ const rows = new Map();
    for (let i = list.from; i < list.to; i++) {
      const row = this.#rows.get(i);
      if (row) rows.set(i, row);
    }
    for (const [index, id, level, up, pos, size, flags, count, name] of list.rows) {
      rows.set(index, {
        index, id, level, up, pos, size, name, count,
        topic: (flags & 1) !== 0, folder: (flags & 2) !== 0, open: (flags & 4) !== 0,
        value: flags & 1 ? before.get(id)?.value ?? null : null,
      });
    }
    this.#rows = rows;
    this.#byID = new Map();
    for (const row of rows.values()) this.#byID.set(row.id, row);
    this.all = list.all;
    this.topics = list.topics;
    this.from = list.from;
    this.to = list.to;
  }

  at(/** @type {number} */ index) {
    return this.#rows.get(index) ?? null;
  }

  byID(/** @type {number} */ id) {
    return this.#byID.get(id) ?? null;
  }

  /** The names from the top level to a row, as far as they are here. */
  path(/** @type {TopicRow} */ row) {
    const names = [];
    /** @type {TopicRow | null} */
    let r = row;
    for (; r; r = r.up < 0 ? null : this.at(r.up)) {
      names.push(r.name);
      if (r.up >= 0 && !this.at(r.up)) {
        names.push('…');
        break;
      }
    }
    return names.reverse().join('/');
  }

  /** Topics of the open folders, for a server that does not know them; no more than a request takes. */
  reopen() {
    const topics = [];
    let room = 100_000;
    for (const topic of this.opened.values()) {
      room -= topic.length + 3;
      if (room < 0) break;
      topics.push(topic);
    }
    return topics;
  }
}

// @ts-check
// Keeps the page Connect fresh: words are replaced, and where the page would have other
// parts or buttons, it is loaded again. Buttons that lead into Home Assistant work where
// it shows us.

const EVERY = 3000; // milliseconds

const root = document.querySelector('[data-connect]');
const takeOver = root?.querySelector('.steps') !== null;
let busy = false; // a button was pressed, or somebody is about to

async function refresh() {
  if (!(root instanceof HTMLElement) || busy || document.hidden || document.querySelector('dialog[open]')) return;
  try {
    const answer = await fetch(root.dataset.live ?? '', { headers: { Accept: 'application/json' }, redirect: 'manual' });
    if (!answer.ok) throw new Error(String(answer.status));
    const live = await answer.json();
    root.classList.remove('stale');
    if ((takeOver ? live.takeOver : live.shape) !== root.dataset.shape && !busy) {
      // What was done is said once; a page that is loaded for news says only news.
      location.replace(location.pathname);
      return;
    }
    for (const [key, words] of Object.entries(live.products)) {
      const row = document.querySelector(`[data-product="${CSS.escape(key)}"]`);
      const el = row?.querySelector('[data-words]');
      if (el && el.textContent !== words) {
        el.textContent = String(words);
        row?.querySelector('.row-icon')?.classList.toggle('row-icon-on', words !== 'Not connected');
      }
    }
  } catch {
    root.classList.add('stale'); // it may be restarting
  }
}

function panels() {
  // Home Assistant's panel is a frame of the same origin that understands where to go.
  if (window.parent === window) return;
  for (const button of document.querySelectorAll('[data-panel]')) {
    if (!(button instanceof HTMLButtonElement)) continue;
    button.hidden = false;
    button.addEventListener('click', () => {
      window.parent.postMessage({ type: 'home-assistant/navigate', path: button.dataset.panel }, location.origin);
    });
  }
}

function once() {
  document.addEventListener('submit', (e) => {
    busy = true;
    const button = e.target instanceof HTMLFormElement ? e.target.querySelector('button[type=submit]') : null;
    if (!(button instanceof HTMLButtonElement)) return;
    button.setAttribute('aria-busy', 'true');
    // After the form was gathered: a second press does nothing.
    setTimeout(() => { button.disabled = true; });
  });
  addEventListener('pageshow', () => {
    busy = false;
    for (const button of document.querySelectorAll('button[aria-busy]')) {
      button.removeAttribute('aria-busy');
      if (button instanceof HTMLButtonElement) button.disabled = false;
    }
  });
}

panels();
once();
if (root) {
  setInterval(refresh, EVERY);
  document.addEventListener('visibilitychange', refresh);
}

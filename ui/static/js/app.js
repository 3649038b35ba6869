// @ts-check
// What every page has: the appearance switch, menus, copy buttons and the
// question before something is deleted.

import { copyText } from './post.js';

const THEME_KEY = 'hearthmq.theme';

/** Path of the admin in front of every URL, "" on the direct port. */
export const base = document.body.dataset.base ?? '';

function themeSwitch() {
  const group = document.querySelector('[data-theme-switch]');
  if (!(group instanceof HTMLElement)) return;
  let current = 'auto';
  try {
    current = localStorage.getItem(THEME_KEY) ?? 'auto';
  } catch {
    return; // nowhere to remember it: the switch stays hidden
  }
  group.hidden = false;
  for (const input of group.querySelectorAll('input')) {
    input.checked = input.value === current;
    input.addEventListener('change', () => {
      if (input.value === 'auto') localStorage.removeItem(THEME_KEY);
      else localStorage.setItem(THEME_KEY, input.value);
      dispatchEvent(new Event('hearthmq-theme'));
    });
  }
}

function menus() {
  for (const menu of document.querySelectorAll('details[data-menu]')) {
    if (!(menu instanceof HTMLDetailsElement)) continue;
    document.addEventListener('click', (e) => {
      if (menu.open && e.target instanceof Node && !menu.contains(e.target)) menu.open = false;
    });
    menu.addEventListener('keydown', (e) => {
      if (e.key !== 'Escape' || !menu.open) return;
      menu.open = false;
      menu.querySelector('summary')?.focus();
    });
  }
}

function copyButtons() {
  for (const button of document.querySelectorAll('button[data-copy]')) {
    if (!(button instanceof HTMLButtonElement)) continue;
    const source = document.getElementById(button.dataset.copy ?? '');
    const label = button.querySelector('[data-label]');
    if (!source || !label) continue;
    const idle = label.textContent;
    button.hidden = false;
    button.addEventListener('click', async () => {
      if (await copyText(source instanceof HTMLInputElement ? source.value : source.textContent ?? '', button)) {
        label.textContent = 'Copied';
      } else {
        getSelection()?.selectAllChildren(source);
        label.textContent = 'Press Ctrl+C';
      }
      setTimeout(() => { label.textContent = idle; }, 2000);
    });
  }
}

/**
 * A link with data-confirm="ID" leads to a page that asks; with JavaScript the
 * <dialog> of that ID asks at once.
 */
function confirmations() {
  for (const opener of document.querySelectorAll('[data-confirm]')) {
    if (!(opener instanceof HTMLElement)) continue;
    const dialog = document.getElementById(opener.dataset.confirm ?? '');
    if (!(dialog instanceof HTMLDialogElement)) continue;
    opener.addEventListener('click', (e) => {
      e.preventDefault();
      dialog.showModal();
    });
    // A link is followed when the key goes down; what the same key does until it is up
    // would press the dialog's first button, which closes it again.
    opener.addEventListener('keydown', (e) => {
      if (e.key !== 'Enter' || e.repeat) return;
      e.preventDefault();
      dialog.showModal();
      const swallow = (/** @type {Event} */ press) => press.preventDefault();
      dialog.addEventListener('keypress', swallow);
      addEventListener('keyup', () => dialog.removeEventListener('keypress', swallow), { once: true });
    });
    dialog.addEventListener('click', (e) => {
      const close = e.target instanceof Element && e.target.closest('[data-close]');
      if (e.target === dialog || close) {
        e.preventDefault();
        dialog.close();
      }
    });
    dialog.addEventListener('close', () => opener.focus());
  }
}

themeSwitch();
menus();
copyButtons();
confirmations();
document.documentElement.dataset.ready = 'true';

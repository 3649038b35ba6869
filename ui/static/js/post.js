// @ts-check
// Questions to the server. What they are about goes in the body, never in the URL.

/**
 * Posts JSON.
 * @param {string} url @param {object} body
 * @returns {Promise<{error: string, data: any}>} error is '' when it went well
 */
export async function post(url, body) {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error', // to the login page: there is no login any more
    });
    const kind = answer.headers.get('Content-Type') ?? '';
    const data = kind.startsWith('application/json') ? await answer.json() : null;
    if (answer.ok) return { error: '', data };
    return { error: data?.error ?? `The server answered ${answer.status}.`, data: null };
  } catch {
    return { error: 'The server did not answer. If your login has ended, reload the page.', data: null };
  }
}

/** Text as base64url of its UTF-8. */
export function base64url(/** @type {string} */ text) {
  let raw = '';
  for (const b of new TextEncoder().encode(text)) raw += String.fromCharCode(b);
  return btoa(raw).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

/** The text of base64url, null when it is none. */
export function fromBase64url(/** @type {string} */ code) {
  try {
    const raw = atob(code.replace(/-/g, '+').replace(/_/g, '/'));
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(raw, (c) => c.charCodeAt(0)));
  } catch {
    return null;
  }
}

/** Copies text, also where the page is not a secure context (plain HTTP on the LAN). */
export async function copyText(/** @type {string} */ text, /** @type {Element} */ near) {
  try {
    if (navigator.clipboard && isSecureContext) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // a frame may not have the permission: the old way is left
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'visually-hidden';
  near.after(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}

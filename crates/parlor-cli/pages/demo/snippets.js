// The texts to copy: filled in with this server's address, chosen by tab, copied by button.

/** Writes the address of this server and of the room into every text that names them. */
export function fill(values) {
  for (const place of document.querySelectorAll('[data-fill]')) {
    const value = values[place.dataset.fill];
    if (value !== undefined) place.textContent = value;
  }
}

/** Makes the copy buttons work. */
export function enableCopying() {
  for (const button of document.querySelectorAll('.copy')) {
    const code = button.parentElement.querySelector('code');
    button.setAttribute('aria-label', `Copy: ${subject(button)}`);
    button.addEventListener('click', () => copy(button, code));
  }
  for (const button of document.querySelectorAll('[data-copy-text]')) {
    const code = button.parentElement.querySelector('code');
    button.addEventListener('click', () => copy(button, code));
  }
}

/** What a text is an example of: the heading of its door, or its tab. */
function subject(button) {
  const panel = button.closest('[role=tabpanel]');
  const title = panel
    ? document.getElementById(panel.getAttribute('aria-labelledby'))
    : button.closest('li').querySelector('h3');
  return title.textContent.trim();
}

async function copy(button, source) {
  let done = 'Copied';
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // No clipboard without TLS away from localhost: the text is selected, a key copies it.
    getSelection().selectAllChildren(source);
    done = 'Selected';
  }
  const status = document.getElementById('copied');
  button.textContent = status.textContent = done;
  setTimeout(() => (button.textContent = 'Copy', status.textContent = ''), 1_500);
}

/** Makes a list of tabs work with pointer and arrow keys. */
export function enableTabs(list) {
  const tabs = [...list.querySelectorAll('[role=tab]:not([hidden])')];
  const select = (chosen) => {
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute('aria-selected', String(selected));
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(tab.getAttribute('aria-controls')).hidden = !selected;
    }
  };
  list.addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]');
    if (tab) select(tab);
  });
  list.addEventListener('keydown', (event) => {
    const now = tabs.indexOf(document.activeElement);
    const next = {
      ArrowLeft: now - 1,
      ArrowRight: now + 1,
      Home: 0,
      End: tabs.length - 1,
    }[event.key];
    if (now < 0 || next === undefined) return;
    event.preventDefault();
    const tab = tabs[(next + tabs.length) % tabs.length];
    select(tab);
    tab.focus();
  });
}

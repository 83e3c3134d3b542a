// The hour as one page: a chapter at a time, by buttons, by a list and by arrow keys; speaker notes on demand.
// Without a script all chapters stand below one another, and notes fold.
function anymsHour(root) {
  const chapters = [...root.querySelectorAll('.chapter')], titles = chapters.map(one => one.querySelector('h2').textContent);
  const make = anymsMake, last = chapters.length - 1;
  const named = /^#chapter-(\d+)$/.exec(location.hash);
  let at = Math.min(last, Math.max(0, named ? +named[1] - 1 : 0)), notes = false;

  const button = (text, label, onclick) => make('button', {type: 'button', text, 'aria-label': label, title: label, onclick});
  const back = button('◀', 'previous chapter (left arrow)', () => go(at - 1)), next = button('▶', 'next chapter (right arrow)', () => go(at + 1));
  const list = make('select', {'aria-label': 'chapter', onchange: () => go(+list.value)}, ...titles.map((text, i) => make('option', {value: i, text: (i + 1) + '. ' + text})));
  const speak = button('Notes', 'speaker notes (key n)', () => tell(!notes));
  const bar = make('nav', {class: 'chapters', 'aria-label': 'chapters'}, back, list, next, speak);
  root.prepend(bar);

  function show() {
    chapters.forEach((one, i) => { one.hidden = i !== at; });
    list.value = at;
    back.disabled = at === 0;
    next.disabled = at === last;
  }

  function go(to) {
    if (to < 0 || to > last || to === at) return;
    at = to;
    show();
    location.hash = 'chapter-' + (at + 1);
    scrollTo(0, 0);
    chapters[at].querySelector('h2').focus({preventScroll: true});
  }

  function tell(on) {
    notes = on;
    speak.setAttribute('aria-pressed', String(on));
    root.querySelectorAll('.notes').forEach(one => { one.hidden = !on; one.open = on; });
  }

  // Widgets keep their own keys (anymsKeys); a field that wants arrows keeps them, too.
  document.addEventListener('keydown', e => {
    if (e.ctrlKey || e.altKey || e.metaKey || e.target.closest?.('input, select, textarea')) return;
    if (e.key === 'ArrowRight' || e.key === 'PageDown') { e.preventDefault(); go(at + 1); }
    if (e.key === 'ArrowLeft' || e.key === 'PageUp') { e.preventDefault(); go(at - 1); }
    if (e.key === 'n') tell(!notes);
  });
  addEventListener('hashchange', () => { const to = /^#chapter-(\d+)$/.exec(location.hash); if (to) go(+to[1] - 1); });
  tell(false);
  show();
}

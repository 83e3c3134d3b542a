// Guess the variant: untitled pictures of one case, two clicks each, all answers of a case revealed at once.
// `facts` holds the rounds; until a round is revealed nothing of its answers is in the document.
const ANYMS_Z = 1.959964;  // of a 95 % interval

// Wilson's interval of k of n, as in guess.py.
function anymsWilson(k, n) {
  if (!n) return [0, 1];
  const z2 = ANYMS_Z*ANYMS_Z, middle = (k + z2/2)/(n + z2);
  const half = ANYMS_Z/(n + z2)*Math.sqrt(k*(n - k)/n + z2/4);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

function anymsGuess(root, facts) {
  const make = anymsMake, letters = 'ABCDEFGHI', percent = x => Math.round(100*x) + ' %';
  const blank = round => ({revealed: false, given: round.pictures.map(() => ({placed: null, variant: null}))});
  const state = facts.rounds.map(blank);
  let at = 0;
  root.classList.add('anyms-guess');
  anymsKeys(root);
  const stage = make('div', {tabindex: '-1'}), table = make('div', {'data-name': 'intervals'});
  const say = make('div', {class: 'say', role: 'status', 'aria-live': 'polite'}), score = make('b', {'data-name': 'score'});
  root.replaceChildren(stage, say, make('p', {class: 'bar'}, score), table);
  root.anymsGuess = {state, wilson: anymsWilson};

  const whole = given => given.placed !== null && given.variant !== null;
  const right = (picture, given) => picture.names.includes(given.variant);
  const button = (text, name, onclick, more) => make('button', {type: 'button', text, 'data-name': name, onclick, ...more});

  function choices(i, field, title, options) {
    const {revealed, given} = state[at];
    const one = ([value, text, key]) => button(text, text, () => choose(i, field, value), {
      'aria-pressed': String(given[i][field] === value), 'aria-keyshortcuts': key, disabled: revealed,
      style: given[i][field] === value ? 'outline: 2px solid currentColor; font-weight: 700' : null});
    return make('div', {role: 'group', 'aria-label': 'picture ' + letters[i] + ': ' + title, style: 'margin: 0 0 6px'},
      make('div', {text: title}), ...options.map(one));
  }

  function verdict(picture, given) {
    const drawn = picture.names.join(' = '), seen = picture.placed ? 'all in their boxes' : 'not all in their boxes';
    return make('div', {class: right(picture, given) ? 'say' : 'say bad', 'data-name': 'verdict'},
      (right(picture, given) ? 'right: ' : 'no, it was ') + drawn,
      picture.placed === null ? null : make('div', {text: 'the judge: ' + seen}));
  }

  function tile(picture, i) {
    const {revealed, given} = state[at], known = revealed ? 'drawn by ' + picture.names.join(' and ') : 'untitled';
    return make('figure', {'data-place': i, style: 'margin: 0; flex: 1 1 150px; max-width: 15em; min-width: 0'},
      make('figcaption', {text: letters[i]}),
      make('img', {src: picture.src, alt: 'picture ' + letters[i] + ', ' + known, style: 'width: 100%; display: block; margin: 0 0 6px'}),
      choices(i, 'placed', 'every subject in its box?', [[true, 'yes', 'y'], [false, 'no', 'n']]),
      choices(i, 'variant', 'drawn by', facts.variants.map((name, k) => [name, name, String(k + 1)])),
      revealed ? verdict(picture, given[i]) : null);
  }

  function given(round) {
    const one = s => make('figure', {style: 'margin: 0; width: 72px'}, make('img', {src: s.reference, alt: 'reference: ' + s.name, style: 'width: 100%'}),
      make('figcaption', {}, make('span', {class: 'dot', style: 'background:' + s.color}), make('span', {class: 'name', text: s.name})));
    return make('div', {class: 'panels', role: 'group', 'aria-label': 'what was given', style: 'margin: 0 0 10px'}, ...round.subjects.map(one),
      make('figure', {style: 'margin: 0; width: 96px'}, make('img', {src: round.boxes, alt: 'where everything should be', style: 'width: 100%'}),
        make('figcaption', {text: 'boxes'})));
  }

  function draw() {
    const round = facts.rounds[at], {revealed} = state[at], last = at === facts.rounds.length - 1;
    stage.replaceChildren(
      make('p', {class: 'bar'}, make('b', {text: 'Case ' + (at + 1) + ' of ' + facts.rounds.length}), make('span', {text: '“' + round.prompt + '”'})),
      given(round), make('div', {class: 'panels', role: 'group', 'aria-label': 'the pictures'}, ...round.pictures.map(tile)),
      make('p', {class: 'bar', style: 'margin: 8px 0 0'},
        button('Previous case', 'previous', () => go(at - 1), {disabled: at === 0}),
        button('Reveal', 'reveal', reveal, {disabled: revealed}), button('Next case', 'next', () => go(at + 1), {disabled: last || !revealed}),
        make('span', {class: 'hint', text: 'Keys: y or n for the boxes, 1 to ' + facts.variants.length + ' for the variant, Enter reveals and goes on.'})));
    tally();
  }

  function choose(i, field, value) {
    if (state[at].revealed) return;
    state[at].given[i][field] = value;
    draw();
    focusOn(i, field, value);
    const open = state[at].given.filter(one => !whole(one)).length;
    say.textContent = letters[i] + ': ' + (field === 'variant' ? value : value ? 'in their boxes' : 'not in their boxes')
      + (open ? ' (' + open + ' of ' + state[at].given.length + ' pictures still open)' : '. All answered: reveal.');
  }

  function focusOn(i, field, value) {
    const text = field === 'variant' ? value : value ? 'yes' : 'no';
    for (const one of stage.querySelectorAll('[data-place="' + i + '"] button')) if (one.dataset.name === text) one.focus();
  }

  function reveal() {
    const round = facts.rounds[at], open = state[at].given.findIndex(one => !whole(one));
    if (open >= 0) { say.textContent = 'Picture ' + letters[open] + ' is still open: say whether its subjects are in their boxes, and who drew it.'; return; }
    state[at].revealed = true;
    draw();
    stage.focus();
    const hits = round.pictures.filter((picture, i) => right(picture, state[at].given[i])).length;
    const same = round.pictures.find(picture => picture.names.length > 1);
    say.textContent = hits + ' of ' + round.pictures.length + ' right.'
      + (same ? ' ' + same.names.join(' and ') + ' drew the same picture here: either name is right.' : '');
  }

  function go(to) {
    if (to < 0 || to >= facts.rounds.length) return;
    at = to;
    say.textContent = '';
    draw();
    stage.focus();
  }

  // What has been revealed: [picture, given] pairs.
  const seen = () => facts.rounds.flatMap((round, r) => state[r].revealed ? round.pictures.map((picture, i) => [picture, state[r].given[i]]) : []);

  function interval(k, n) {
    const [low, high] = anymsWilson(k, n), left = 100*low + '%', width = 100*(high - low) + '%';
    const bar = make('span', {'aria-hidden': 'true', style: 'display: block; position: relative; min-width: 90px; height: 9px; margin: 2px 0; border: 1px solid'},
      make('i', {style: 'position: absolute; top: 0; bottom: 0; background: #0072B2; left: ' + left + '; width: ' + width}));
    return make('td', {}, k + ' of ' + n + ': ' + Math.round(100*low) + ' to ' + percent(high), bar);
  }

  function row(name, pairs) {
    const of = pairs.filter(([picture]) => picture.names.includes(name)), mine = of.filter(([, given]) => given.placed).length;
    const theirs = facts.judge[name];
    return make('tr', {'data-variant': name}, make('th', {text: name}), interval(mine, of.length), theirs ? interval(...theirs) : null);
  }

  function tally() {
    const pairs = seen(), hits = pairs.filter(([picture, given]) => right(picture, given)).length;
    const blind = pairs.reduce((sum, [picture]) => sum + picture.names.length/facts.variants.length, 0);
    const judged = Object.keys(facts.judge).length > 0;
    score.textContent = pairs.length ? 'Score: ' + hits + ' of ' + pairs.length + '; blind guessing gets about ' + blind.toFixed(1) : 'Score: nothing revealed yet';
    if (!pairs.length) return table.replaceChildren();
    table.replaceChildren(make('div', {class: 'tables'}, make('table', {},
      make('caption', {text: 'How often are all subjects in their boxes? (95 % intervals)'}),
      make('tr', {}, make('th', {text: 'variant'}), make('th', {text: 'you, so far'}),
        judged ? make('th', {text: 'the judge, all cases'}) : null),
      ...facts.variants.map(name => row(name, pairs)))));
  }

  function ofFocus() {
    const figure = root.getRootNode().activeElement?.closest?.('[data-place]');
    const open = state[at].given.findIndex(one => !whole(one));
    return figure ? +figure.dataset.place : open;
  }

  stage.addEventListener('keydown', e => {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    const {revealed, given} = state[at], digit = /^[1-9]$/.test(e.key) ? +e.key - 1 : -1;
    let i = ofFocus();
    if (i >= 0 && whole(given[i])) i = Math.max(i, given.findIndex(one => !whole(one)));  // typed on: the next open picture
    if (i >= 0 && (e.key === 'y' || e.key === 'n')) choose(i, 'placed', e.key === 'y');
    if (i >= 0 && digit >= 0 && digit < facts.variants.length) choose(i, 'variant', facts.variants[digit]);
    if (e.key === 'Enter' && !e.target.matches('[data-name=previous], [data-name=reveal], [data-name=next]')
        && (revealed || given.every(whole))) { e.preventDefault(); revealed ? go(at + 1) : reveal(); }
  });
  draw();
}

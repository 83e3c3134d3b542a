// The wall's two pages: a phone that draws boxes and votes, and the projector that shows what comes. Nothing here holds a secret: the
// server sends an answer's letter only once it is revealed, and names of stickers are written as text, never as HTML.
const anymsLetters = 'ABCDEFGH';
const anymsColors = ['#E69F00', '#56B4E9', '#009E73'];   // of subjects, as everywhere in this package

// talking to the laptop: an answer, or an Error whose message is the sentence that the laptop sent
function anymsCaller(token) {
  return async function call(path, message) {
    const headers = {...(token() ? {Authorization: 'Bearer ' + token()} : {}), ...(message ? {'Content-Type': 'application/json'} : {})};
    const options = {method: message ? 'POST' : 'GET', headers, cache: 'no-store', ...(AbortSignal.timeout ? {signal: AbortSignal.timeout(8000)} : {})};
    let reply;
    try { reply = await fetch(path, {...options, ...(message ? {body: JSON.stringify(message)} : {})}); }
    catch (e) { throw Object.assign(new Error('The laptop does not answer: are you still in this room’s network?'), {status: 0}); }
    const said = await reply.json().catch(() => ({}));
    if (!reply.ok) throw Object.assign(new Error(said.sentence || 'That did not work.'), {status: reply.status});
    return said;
  };
}

// asks for news again and again, never twice at a time, more slowly while nobody answers
function anymsPoll(ask, every) {
  let version = -1, pause = every, timer = 0, is_busy = false, is_again = false;
  async function turn() {
    clearTimeout(timer);
    if (is_busy) { is_again = true; return; }
    is_busy = true;
    try { version = await ask(version); pause = every; }
    catch (e) { pause = Math.min(2*pause, 8000); }
    is_busy = false;
    if (version === null) return;
    timer = setTimeout(turn, is_again ? 0 : pause*(.9 + .2*Math.random()));
    is_again = false;
  }
  turn();
  return turn;
}

function anymsStore(name) {
  return {get: () => { try { return sessionStorage.getItem(name) || ''; } catch (e) { return ''; } },
    set: value => { try { sessionStorage.setItem(name, value); } catch (e) { /* a browser that keeps nothing: until the page is closed */ } }};
}

function anymsSvg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes || {})) if (k.startsWith('on')) node.addEventListener(k.slice(2), v); else node.setAttribute(k, v);
  node.append(...children);
  return node;
}

// the board: at most three boxes on a square, by finger, mouse or keyboard; `tell` says what has been done
function anymsBoard(tell, changed) {
  const SMALLEST = .12, FREE = [[.06, .3, .48, .9], [.52, .3, .94, .9], [.3, .04, .7, .44]];
  const items = [], board = anymsSvg('svg', {viewBox: '0 0 100 100', class: 'board', role: 'group', 'aria-label': 'your picture: boxes with stickers'});
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const percent = v => Math.round(100*v) + ' %';
  const where = one => one.noun + ': from ' + percent(one.box[0]) + ' to ' + percent(one.box[2]) + ' across, from ' + percent(one.box[1]) + ' to ' + percent(one.box[3]) + ' down';

  function place(one) {
    const [x0, y0, x1, y1] = one.box.map(v => 100*v), w = x1 - x0, h = y1 - y0, side = Math.min(w, h);
    const put = (node, values) => Object.entries(values).forEach(([k, v]) => node.setAttribute(k, v));
    put(one.edge, {x: x0, y: y0, width: w, height: h});
    put(one.image, {x: x0 + (w - side)/2, y: y0 + (h - side)/2, width: side, height: side});
    put(one.hold, {x: x1 - 11, y: y1 - 11, width: 14, height: 14});
    put(one.mark, {d: `M${x1 - 7} ${y1 - 2}H${x1 - 2}V${y1 - 7}`});
    one.node.setAttribute('aria-label', where(one) + '. Arrow keys move, with Shift they resize, Delete takes it away.');
  }
  function move(one, dx, dy) {
    const [x0, y0, x1, y1] = one.from, w = x1 - x0, h = y1 - y0, x = clamp(x0 + dx, 0, 1 - w), y = clamp(y0 + dy, 0, 1 - h);
    one.box = [x, y, x + w, y + h];
    place(one);
  }
  function resize(one, dx, dy) {
    const [x0, y0, x1, y1] = one.from;
    one.box = [x0, y0, clamp(x1 + dx, Math.min(1, x0 + SMALLEST), 1), clamp(y1 + dy, Math.min(1, y0 + SMALLEST), 1)];
    place(one);
  }
  function drag(one, how) {
    return e => {
      if (e.button) return;
      e.preventDefault();
      e.stopPropagation();
      one.node.focus({preventScroll: true});
      one.from = [...one.box];
      const side = board.getBoundingClientRect().width, start = [e.clientX, e.clientY];
      const go = f => { if (f.pointerId === e.pointerId) how(one, (f.clientX - start[0])/side, (f.clientY - start[1])/side); };
      const end = f => {
        if (f.pointerId !== e.pointerId) return;
        ['pointermove', 'pointerup', 'pointercancel'].forEach((name, i) => window.removeEventListener(name, i ? end : go));
        tell(where(one));
      };
      window.addEventListener('pointermove', go);
      window.addEventListener('pointerup', end);
      window.addEventListener('pointercancel', end);
    };
  }
  function remove(one) {
    items.splice(items.indexOf(one), 1);
    one.node.remove();
    tell(one.noun + ' is taken away.');
    changed();
  }
  function key(one, e) {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[e.key];
    if (e.key === 'Delete' || e.key === 'Backspace') { e.preventDefault(); return remove(one); }
    if (!steps) return;
    e.preventDefault();
    one.from = [...one.box];
    (e.shiftKey ? resize : move)(one, .02*steps[0], .02*steps[1]);
    tell(where(one));
  }
  function add(noun, src) {
    const taken = items.map(one => one.slot), slot = FREE.findIndex((_, i) => !taken.includes(i)), color = anymsColors[slot];
    const one = {noun, slot, box: [...FREE[slot]], from: FREE[slot]};
    one.edge = anymsSvg('rect', {class: 'edge', stroke: color, fill: color, 'fill-opacity': .12});
    one.image = anymsSvg('image', {href: src, preserveAspectRatio: 'xMidYMid meet'});
    one.mark = anymsSvg('path', {class: 'mark', stroke: color});
    one.hold = anymsSvg('rect', {class: 'hold', onpointerdown: e => drag(one, resize)(e)});
    one.node = anymsSvg('g', {class: 'box', tabindex: 0, role: 'group', 'data-noun': noun, onpointerdown: e => drag(one, move)(e), onkeydown: e => key(one, e)},
      one.edge, one.image, one.mark, one.hold);
    items.push(one);
    board.append(one.node);
    place(one);
    tell(noun + ' is on your picture. Drag it, drag its corner.');
    changed();
    return one;
  }
  const clear = () => { items.splice(0).forEach(one => one.node.remove()); changed(); };
  const stickers = () => items.map(one => ({noun: one.noun, box: one.box.map(v => Math.round(1000*v)/1000)}));
  return {node: board, add, clear, stickers, count: () => items.length};
}

// one question: buttons A to D on a phone, bars on the projector
function anymsVote(question, choose) {
  const make = anymsMake, is_revealed = question.answer != null;
  const options = question.options.map((text, i) => make('button', {type: 'button', 'data-option': anymsLetters[i], class: is_revealed && i === question.answer ? 'right' : false,
    'aria-pressed': String(question.chosen === i), disabled: is_revealed, onclick: () => choose(i)},
    make('b', {text: anymsLetters[i]}), make('span', {text}), is_revealed && i === question.answer ? make('i', {text: '✓ right'}) : null));
  return make('section', {class: 'vote', 'aria-label': 'question'}, make('h2', {text: 'Predict'}), make('p', {class: 'ask', text: question.text}),
    make('div', {class: 'options', role: 'group', 'aria-label': 'answers'}, ...options),
    is_revealed ? make('p', {class: 'why', text: question.why}) : null);
}

function anymsPhone(root) {
  const make = anymsMake, token = anymsStore('anyms-wall'), call = anymsCaller(token.get);
  const say = make('p', {class: 'say', role: 'status', 'aria-live': 'polite'}), stage = make('div', {class: 'stage'});
  function tell(words, bad) {
    say.textContent = words;
    say.classList.toggle('bad', !!bad);
    if (bad) say.scrollIntoView({block: 'nearest'});
  }
  root.classList.add('phone');
  root.append(stage);

  function join() {
    const code = make('input', {type: 'text', name: 'code', id: 'code', autocomplete: 'off', autocapitalize: 'characters', spellcheck: false, maxlength: 12, required: true, size: 8});
    code.value = decodeURIComponent(location.hash.slice(1)).slice(0, 12);
    const form = make('form', {class: 'join', onsubmit: async e => {
      e.preventDefault();
      try { token.set((await call('join', {code: code.value})).token); }
      catch (problem) { return tell(problem.message, true); }
      history.replaceState(null, '', location.pathname);
      tell('');
      draw();
    }}, make('h1', {text: 'The wall'}), make('p', {text: 'Which code is on the projector? No name is asked.'}),
      make('label', {for: 'code', text: 'Code'}), code, make('button', {class: 'main', text: 'Join'}));
    root.dataset.stage = 'join';
    stage.replaceChildren(form, say);
    code.focus();
  }

  async function draw() {
    let facts, shown = '', brought = '', sent = 0, is_gone = false;
    try { facts = await call('stickers'); }
    catch (problem) { tell(problem.message, true); setTimeout(draw, 3000); return; }
    const ask = make('div', {class: 'asked'}), mine = make('figure', {class: 'mine', hidden: true}), wait = make('p', {class: 'wait'});
    const image = make('img', {alt: '', width: 256, height: 256}), words = make('figcaption');
    const board = anymsBoard(tell, refresh);
    const scene = make('select', {id: 'scene', 'aria-label': 'Where'}, ...facts.places.map(text => make('option', {value: text, text})));
    const find = make('input', {type: 'search', id: 'find', placeholder: 'fox, hat, tree …', autocomplete: 'off', oninput: show});
    const tray = make('div', {class: 'tray', role: 'group', 'aria-label': 'stickers'});
    const tiles = Object.entries(facts.stickers).map(([noun, src]) => make('button', {type: 'button', 'data-sticker': noun, onclick: () => add(noun, src)},
      make('img', {src, alt: '', width: 44, height: 44}), make('span', {text: noun})));
    const send = make('button', {type: 'button', class: 'main', 'data-name': 'send', text: 'Send', onclick: submit});
    const empty = make('button', {type: 'button', text: 'Empty', onclick: () => { board.clear(); tell(''); }});
    tray.append(...tiles);
    mine.append(image, words);

    function show() { tiles.forEach(tile => { tile.hidden = !tile.dataset.sticker.includes(find.value.trim().toLowerCase()); }); tray.scrollLeft = 0; }
    function add(noun, src) {
      if (board.count() >= facts.most) return tell('There is room for ' + facts.most + ' stickers. Take one away first: choose it and press Delete, or press Empty.', true);
      board.add(noun, src);
    }
    function refresh() { send.setAttribute('aria-disabled', String(!board.count())); }
    async function submit() {
      if (!board.count()) return tell('Tap a sticker first.', true);
      try { sent = (await call('draw', {place: scene.value, stickers: board.stickers()})).number; tell('Sent.'); }
      catch (problem) { if (problem.status === 401) return leave(); return tell(problem.message, true); }
      poll();
    }
    async function vote(question, option) {
      try { await call('vote', {question, option}); tell('Your vote: ' + anymsLetters[option] + '. You may change it until the answer is shown.'); }
      catch (problem) { if (problem.status === 401) return leave(); return tell(problem.message, true); }
      poll();
    }
    function question(state) {
      const text = JSON.stringify(state.question);
      if (text === shown) return;
      const at = ask.contains(document.activeElement) ? document.activeElement.dataset.option : '';
      shown = text;
      if (state.question && state.question.answer != null) tell('');
      ask.replaceChildren(...(state.question ? [anymsVote(state.question, i => vote(state.question.number, i))] : []));
      if (at && state.question) (ask.querySelector('[data-option=' + at + ']') || ask).focus();
      bring(state.question);
    }
    function bring(question) {   // who is looking at a picture further down sees a new question, and its answer
      const asked = question ? question.number + (question.answer != null ? ' answered' : '') : '';
      if (asked && asked !== brought) ask.scrollIntoView({block: 'start'});
      brought = asked;
    }
    function order(state) {
      const one = state.order;
      wait.textContent = !one ? (state.paused ? 'Drawing is paused.' : '') : {
        waiting: (state.paused ? 'Drawing is paused. ' : '') + (one.before ? one.before + (one.before === 1 ? ' picture is' : ' pictures are') + ' drawn before yours.' : 'Yours is the next.'),
        drawing: 'Your picture is being drawn …', done: '', failed: 'Your picture could not be drawn. Please send it again.',
        cleared: 'The wall was cleared. Send another picture.'}[one.state];
      root.dataset.order = one ? one.state : '';
      if (!one || one.state !== 'done' || mine.dataset.picture === one.picture) return;
      mine.dataset.picture = one.picture;
      image.src = 'picture/' + one.picture;
      image.alt = 'your picture: ' + one.words;
      words.textContent = one.words;
      const was_hidden = mine.hidden;
      mine.hidden = false;
      if (sent === one.number) { tell('Here it is. On the wall, too.'); mine.scrollIntoView({block: 'nearest'}); }
    }
    function leave() {
      if (is_gone) return;
      is_gone = true;
      token.set('');
      tell('The laptop does not know this phone any more: join again.', true);
      join();
    }

    stage.replaceChildren(ask, make('section', {class: 'make'}, make('h2', {text: 'Your picture'}), board.node,
      make('p', {class: 'row'}, make('label', {for: 'find', text: 'Sticker'}), find), tray,
      make('p', {class: 'row'}, scene, empty, send)), say, wait, mine);
    root.dataset.stage = 'draw';
    refresh();
    const poll = anymsPoll(async version => {
      if (is_gone) return null;
      try {
        const state = await call('state?since=' + version);
        if (state.order !== undefined) { question(state); order(state); }
        if (say.dataset.lost) { delete say.dataset.lost; tell(''); }
        return state.version;
      } catch (problem) {
        if (problem.status === 401) { leave(); return null; }
        if (problem.status !== 429) { say.dataset.lost = 'yes'; tell(problem.message, true); }
        throw problem;
      }
    }, 1000);
  }
  if (token.get()) draw();
  else join();
}

function anymsWall(root) {
  const make = anymsMake, token = anymsStore('anyms-wall-teacher'), call = anymsCaller(token.get);
  const given = location.hash.slice(1);
  if (given) { token.set(given); history.replaceState(null, '', location.pathname); }
  const address = make('b', {class: 'address'}), code = make('b', {class: 'code'}), counts = make('p', {class: 'counts'});
  const grid = make('div', {class: 'grid', role: 'list', 'aria-label': 'pictures'}), side = make('div', {class: 'asked'});
  const say = make('p', {class: 'say', role: 'status', 'aria-live': 'polite'});
  const button = (action, text, key) => make('button', {type: 'button', 'data-action': action, text, 'aria-keyshortcuts': key, title: 'key ' + key, onclick: () => order(action)});
  const buttons = [button('next', 'Next question', 'n'), button('show votes', 'Show votes', 'v'), button('reveal', 'Reveal', 'r'), button('close', 'Close question', 'q'),
    button('pause', 'Pause', 'p'), button('clear', 'Clear the wall', 'c'), button('renew', 'New code', 'k')];
  const frames = [];
  let shown = '', state = {}, armed = '';
  root.classList.add('projector');
  root.append(make('header', {}, make('p', {class: 'how'}, make('span', {text: 'Open '}), address, make('span', {text: ' and type'})), code, counts),
    make('main', {}, grid, side), make('footer', {}, make('div', {class: 'controls', role: 'group', 'aria-label': 'teacher'}, ...buttons), say));

  async function order(action) {
    const opposite = {pause: state.paused && 'go on', 'show votes': state.question && state.question.votes && 'hide votes'};
    const name = opposite[action] || action;
    if ((action === 'clear' || action === 'renew') && armed !== action) {
      armed = action;
      say.textContent = action === 'clear' ? 'Once more: clear all pictures and the queue?' : 'Once more: a new code? Phones that are in stay in.';
      setTimeout(() => { if (armed === action) { armed = ''; say.textContent = ''; } }, 4000);
      return;
    }
    armed = '';
    try { await call('wall/command', {action: name}); say.textContent = ''; }
    catch (problem) { say.textContent = problem.message; }
    poll();
  }
  document.addEventListener('keydown', e => {
    if (e.ctrlKey || e.altKey || e.metaKey || e.repeat) return;
    const pressed = buttons.find(b => b.getAttribute('aria-keyshortcuts') === e.key.toLowerCase());
    if (pressed && !pressed.disabled) pressed.click();
  });

  function pictures(now) {
    while (frames.length < now.places) {
      const image = make('img', {alt: '', hidden: true}), words = make('figcaption');
      frames.push({image, words, node: make('figure', {role: 'listitem'}, image, words), picture: ''});
      grid.append(frames[frames.length - 1].node);
    }
    const by_place = Object.fromEntries(now.pictures.map(one => [one.place, one]));
    frames.forEach((frame, i) => {
      const one = by_place[i], picture = one ? one.picture : '';
      if (picture === frame.picture) return;
      frame.picture = picture;
      frame.image.hidden = !one;
      frame.words.textContent = one ? one.words : '';
      if (one) { frame.image.src = 'picture/' + picture; frame.image.alt = one.words; }
      else frame.image.removeAttribute('src');
      frame.node.classList.toggle('new', !!one);
    });
  }
  function bar(question, i) {
    const is_right = i === question.answer;
    const option = make('p', {class: 'option'}, make('b', {text: anymsLetters[i]}), make('span', {text: question.options[i]}));
    const item = make('li', {class: is_right ? 'right' : false, 'data-option': anymsLetters[i]}, option);
    if (!question.votes) return item;                  // a bar that grows while people still think tells them what to think
    const votes = question.votes[i], fill = make('span', {class: 'fill'});
    fill.style.width = (question.total ? 100*votes/question.total : 0) + '%';
    item.append(make('p', {class: 'bar'}, make('span', {class: 'track'}, fill), make('output', {text: votes + (is_right ? ' ✓' : '')})));
    return item;
  }
  function question(now) {
    const text = JSON.stringify(now.question);
    if (text === shown) return;
    const one = now.question;
    shown = text;
    root.classList.toggle('asking', !!one);
    side.replaceChildren(...(!one ? [] : [make('h2', {text: 'Predict ' + (one.number + 1) + ' of ' + one.count}), make('p', {class: 'ask', text: one.text}),
      make('ol', {}, ...one.options.map((_, i) => bar(one, i))), make('p', {class: 'total', text: one.total + (one.total === 1 ? ' vote' : ' votes')}),
      one.answer == null ? null : make('p', {class: 'why', text: one.why})].filter(part => part)));
  }
  function show(now) {
    state = now;
    address.textContent = now.address;
    code.textContent = now.code || 'closed';
    const waiting = now.waiting ? now.waiting + ' waiting' : 'nobody waits';
    counts.textContent = [now.phones + (now.phones === 1 ? ' phone' : ' phones'), now.drawn + ' drawn', now.drawing ? now.drawing + ' being drawn' : '', waiting, now.paused ? 'paused' : ''].filter(t => t).join(' · ');
    const find = name => buttons.find(b => b.dataset.action === name);
    find('pause').textContent = now.paused ? 'Go on' : 'Pause';
    const is_open = now.question && now.question.answer == null;
    find('show votes').textContent = is_open && now.question.votes ? 'Hide votes' : 'Show votes';
    for (const name of ['show votes', 'reveal']) find(name).disabled = !is_open;
    find('close').disabled = !now.question;
    pictures(now);
    question(now);
    root.dataset.ready = 'yes';
  }
  const poll = anymsPoll(async version => {
    try {
      const now = await call('wall/state?since=' + version);
      if (now.code !== undefined) show(now);
      if (say.dataset.lost) { delete say.dataset.lost; say.textContent = ''; }
      return now.version;
    } catch (problem) {
      say.dataset.lost = 'yes';
      say.textContent = problem.status === 401 ? 'This page needs the address that the terminal printed, with all that stands behind #.' : problem.message;
      throw problem;
    }
  }, 500);
}
({phone: anymsPhone, wall: anymsWall})[document.body.dataset.page](document.querySelector('#root'));

// The sticker tray: type a word and see its drawings; Enter, a click or a drag onto the board places one. Small pictures come when they are asked for.
const anymsRows = 2, anymsMost = 6, anymsShown = 12, anymsAsked = 24;    // rows of tiles, drawings a noun, nouns of a search, nouns of a question

function anymsFound(nouns, typed) {        // what begins so comes first, then a later word that begins so, then the rest
  const text = typed.trim().toLowerCase();
  const rank = noun => { const n = noun.toLowerCase(); return [n.startsWith(text), n.split(' ').some(w => w.startsWith(text)), n.includes(text)].indexOf(true); };
  return nouns.filter(n => rank(n) >= 0).sort((a, b) => rank(a) - rank(b));
}

// place(noun, drawing, [x, y] of the window or null) puts a sticker on the board
function anymsTray(model, on, board, place) {
  const make = anymsMake, nouns = model.get('nouns'), drawn = new Map(), asked = new Map();
  const field = make('input', {type: 'text', 'data-name': 'search', size: 16, placeholder: 'fox, hat, tree …', autocomplete: 'off', 'aria-label': 'search the stickers', oninput: () => paint()});
  const told = make('span', {class: 'told', role: 'status'}), tiles = make('div', {class: 'tiles', role: 'group', 'aria-label': 'stickers', style: '--rows:' + anymsRows});
  const tray = make('div', {class: 'tray', hidden: !nouns.length}, make('div', {class: 'bar'}, make('label', {}, make('b', {text: 'stickers'}), field), told), tiles);
  const all = () => [...tiles.children];

  function paint() {
    if (held) return void (late = true);   // not while one of them is held
    const typed = field.value.trim(), found = anymsFound(nouns, typed), most = typed ? anymsMost : 1, shown = typed ? found.slice(0, anymsShown) : found;
    const at = all().indexOf(document.activeElement);
    tiles.replaceChildren(...shown.flatMap(noun => (drawn.get(noun) || [['', '', '']]).slice(0, most).map(d => tile(noun, ...d))));
    turn(Math.max(0, at), at >= 0);
    told.textContent = typed ? `${found.length} of ${nouns.length} words` : `${nouns.length} words`;
    ask(shown.filter(noun => (asked.get(noun) || 0) < most), most);
  }
  function ask(all, most) {                // a few at a time: the answer asks for the next, and the kernel has a word with others between
    const wanted = all.slice(0, anymsAsked);
    wanted.forEach(noun => asked.set(noun, most));
    if (wanted.length) model.send({tray: wanted, most});
  }
  function tile(noun, drawing, words, picture) {
    const face = picture ? make('img', {src: picture, width: 40, height: 40, alt: '', draggable: 'false'}) : make('span', {class: 'blank'});
    const name = words ? `${noun}, ${words}` : noun;
    return make('button', {type: 'button', class: 'tile', tabindex: -1, 'data-name': 'tile', 'data-noun': noun, 'data-drawing': drawing, title: name, 'aria-label': `place ${name} on the board`},
      face, make('span', {class: 'word', text: noun}));
  }
  function turn(i, focus = true) {         // one tile is a stop of the Tab key, arrows go on from it
    const list = all(), next = list[Math.min(list.length - 1, Math.max(0, i))];
    list.forEach(t => { t.tabIndex = t === next ? 0 : -1; });
    if (next && focus) next.focus();
  }
  function put(tile, at) {
    place(tile.dataset.noun, tile.dataset.drawing, at);
    field.defaultValue = field.value;      // what is typed is done with: Ctrl+Z takes the sticker back
    told.textContent = `${tile.dataset.noun} is on the board`;
  }
  tray.addEventListener('keydown', e => {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    const at = all().indexOf(e.target), way = {ArrowLeft: -anymsRows, ArrowRight: anymsRows, ArrowUp: -1, ArrowDown: 1}[e.key];
    if (e.target === field && e.key === 'Enter' && tiles.firstChild) put(tiles.firstChild, null);
    else if (e.target === field && e.key === 'ArrowDown') turn(0);
    else if (at >= 0 && e.key === 'ArrowUp' && at % anymsRows === 0) field.focus();
    else if (at >= 0 && way) turn(at + way);
    else return;
    e.preventDefault();
  });

  // a drag begins once the pointer has left the place where it went down; until then it is a click
  let held = null, dragged = false, late = false;
  tiles.addEventListener('pointerdown', e => {
    const tile = e.target.closest('.tile');
    if (!tile || e.button) return;
    held = {tile, x: e.clientX, y: e.clientY, ghost: null};
    tile.setPointerCapture(e.pointerId);
  });
  tiles.addEventListener('pointermove', e => {
    if (!held || !held.ghost && Math.hypot(e.clientX - held.x, e.clientY - held.y) < 6) return;
    held.ghost = held.ghost || ghost(held.tile);
    held.ghost.style.left = e.clientX + 'px'; held.ghost.style.top = e.clientY + 'px';
  });
  function ghost(tile) {                   // on the body: nothing of the notebook clips it
    const side = .4 * board.getBoundingClientRect().width, picture = tile.querySelector('img');
    const node = make('div', {class: 'anyms-ghost', 'aria-hidden': 'true', style: `width:${side}px;height:${side}px`}, picture ? make('img', {src: picture.src, alt: ''}) : tile.dataset.noun);
    document.body.append(node);
    return node;
  }
  function drop(e) {
    if (!held) return;
    const {tile, ghost} = held, r = board.getBoundingClientRect();
    const over = e.clientX >= r.left && e.clientX <= r.right && e.clientY >= r.top && e.clientY <= r.bottom;
    held = null;
    if (late) setTimeout(() => { late = false; paint(); });
    if (!ghost) return;
    ghost.remove();
    dragged = true;
    setTimeout(() => { dragged = false; });
    if (e.type === 'pointerup' && over) put(tile, [e.clientX, e.clientY]);
    if (tile !== document.activeElement) turn(all().indexOf(tile), false);
  }
  tiles.addEventListener('pointerup', drop);
  tiles.addEventListener('pointercancel', drop);
  tiles.addEventListener('click', e => { const tile = e.target.closest('.tile'); if (tile && !dragged) put(tile, null); });

  on('msg:custom', message => {
    if (!message.tray) return;
    for (const noun in message.tray) if (message.tray[noun].length >= (drawn.get(noun) || []).length) drawn.set(noun, message.tray[noun]);
    const words = told.textContent;
    paint();
    if (words) told.textContent = words;
  });
  paint();
  return tray;
}

// An own picture, dropped on the board or pasted: give(file, the box under it or null, [x, y] of the window or null)
function anymsOwnPictures(root, board, give) {
  const holds = e => [...e.dataTransfer.types].includes('Files'), box = node => node && node.closest && node.closest('g.box');
  board.addEventListener('dragover', e => { if (holds(e)) { e.preventDefault(); e.stopPropagation(); } });
  board.addEventListener('drop', e => {
    if (!holds(e) || !e.dataTransfer.files.length) return;
    e.preventDefault(); e.stopPropagation();
    give(e.dataTransfer.files[0], box(e.target), [e.clientX, e.clientY]);
  });
  root.addEventListener('paste', e => {
    const file = [...(e.clipboardData ? e.clipboardData.files : [])].find(f => f.type.startsWith('image/'));
    if (!file) return;
    e.preventDefault(); e.stopPropagation();
    give(file, box(document.activeElement), null);
  });
}

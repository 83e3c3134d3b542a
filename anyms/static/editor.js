// The box editor's page side: boxes on a board, a list beside it. Python holds the layout, rounds to tokens and finds overlaps; names are written by textContent only.
const anymsSpace = 'http://www.w3.org/2000/svg';
function anymsDraw(tag, attributes, parent) {
  const node = document.createElementNS(anymsSpace, tag);
  for (const k in attributes) node.setAttribute(k, attributes[k]);
  if (parent) parent.append(node);
  return node;
}

function anymsEditor(root, model, on) {
  const make = anymsMake, draw = anymsDraw, put = (n, v) => { model.set(n, v); model.save_changes(); };
  const edits = anymsEdits(model, on, () => { arrived(); words(); paint(); table(); named(); }), get = n => n === 'boxes' ? edits.boxes() : model.get(n);
  const size = () => get('size'), hue = b => get('palette')[get('boxes').findIndex(c => c.id === b.id) % get('palette').length];
  const copy = () => get('boxes').map(b => ({...b, box: [...b.box]})), trim = x => Math.round(x * 1e4) / 1e4, clamp = (x, a, b) => Math.min(b, Math.max(a, x));
  root.classList.add('anyms', 'anyms-editor');
  anymsKeys(root);
  const board = draw('svg', {class: 'board', role: 'group', tabindex: -1, 'aria-label': 'the picture and its boxes'});
  const back = draw('image', {preserveAspectRatio: 'none'}, board), grid = draw('image', {preserveAspectRatio: 'none', style: 'image-rendering:pixelated;pointer-events:none'}, board);
  const layer = draw('g', {}, board), labels = draw('g', {style: 'pointer-events:none;user-select:none'}, board);  // names lie above all boxes
  const level = make('select', {'data-name': 'level', 'aria-label': 'token grid', onchange: e => put('level', e.target.selectedIndex - 1)},
    make('option', {text: 'no grid'}), ...get('levels').map(([h, w]) => make('option', {text: `${h} x ${w} tokens`})));
  const snap = make('input', {type: 'checkbox', 'data-name': 'snap', onchange: e => put('snap', e.target.checked)});
  const under = make('input', {type: 'checkbox', 'data-name': 'under', checked: true, onchange: () => all()}), mayHide = make('label', {}, under, make('b', {text: 'picture'}));
  const undo = make('button', {type: 'button', 'data-name': 'undo', text: '↶ undo', title: 'undo (Ctrl+Z)', onclick: () => edits.send({undo: -1})});
  const redo = make('button', {type: 'button', 'data-name': 'redo', text: '↷ redo', title: 'redo (Ctrl+Shift+Z)', onclick: () => edits.send({undo: 1})});
  const clear = make('button', {type: 'button', 'data-name': 'clear', text: '✕ empty', title: 'take everything off the board (undo brings it back)', onclick: () => { begin(); edits.put([]); edits.save(); board.focus(); }});
  const known = make('datalist', {id: 'anyms' + Math.random().toString(36).slice(2)}, ...get('nouns').map(n => make('option', {value: n})));
  const list = make('div', {style: 'max-height:24em;overflow:auto'}), say = make('div', {class: 'say', role: 'status'}), gone = make('div', {class: 'say bad', role: 'alert'}), legend = make('div', {class: 'hint'});
  root.replaceChildren(
    make('div', {class: 'bar'}, make('button', {type: 'button', 'data-name': 'add', text: '+ box', onclick: () => rename(add(free(.3)))}), undo, redo, clear,
      make('label', {}, snap, make('b', {text: 'snap to tokens'})), make('label', {}, make('b', {text: 'show'}), level), mayHide, legend),
    anymsTray(model, on, board, place), board, say, gone, list, known,
    make('div', {class: 'hint', text: 'Drag a box to move it, a corner or an edge to resize it, the empty canvas to draw a new one. With the keyboard: Tab to a box, arrows move, Shift + arrows resize, ] and [ bring it to the front or the back, Enter renames, Delete removes it, Ctrl+Z undoes. A picture of your own: drop its file on the board, or paste it.'}));
  root.addEventListener('keydown', e => {    // undo, but not while a text is being typed: there it is the text's own
    const key = e.key.toLowerCase(), typing = e.target.matches('input[type=text], input[type=number]') && e.target.value !== e.target.defaultValue;
    if (!(e.ctrlKey || e.metaKey) || e.altKey || typing || !['z', 'y'].includes(key)) return;
    edits.send({undo: key === 'y' || e.shiftKey ? 1 : -1});
    e.preventDefault(); e.stopPropagation();
  });

  // changes; those of one drag, or of one key held down, carry one number and are undone at once
  const begin = edits.begin;
  const cells = () => get('levels')[Math.max(0, get('level'))];
  function fit(box) {                       // inside the picture, on token edges if wanted, never empty
    let [x0, y0, x1, y1] = box;
    if (get('snap')) {
      const [h, w] = cells(), edge = (x, n) => Math.round(clamp(x, 0, 1) * n) / n;
      [x0, x1, y0, y1] = [edge(x0, w), edge(x1, w), edge(y0, h), edge(y1, h)];
      if (x1 <= x0) { x0 = Math.min(x0, 1 - 1 / w); x1 = x0 + 1 / w; }
      if (y1 <= y0) { y0 = Math.min(y0, 1 - 1 / h); y1 = y0 + 1 / h; }
      return [x0, y0, x1, y1];
    }
    return [x0, y0, x1, y1].map(x => trim(clamp(x, 0, 1)));
  }
  function change(id, f, save = true) {
    const boxes = copy(), b = boxes.find(c => c.id === id);
    if (!b) return;
    f(b, boxes);
    edits.put(boxes);
    if (save) edits.save();
  }
  function moved([x0, y0, x1, y1], dx, dy) {
    dx = clamp(dx, -x0, 1 - x1); dy = clamp(dy, -y0, 1 - y1);
    return fit([x0 + dx, y0 + dy, x1 + dx, y1 + dy]);
  }
  const sized = ([x0, y0, x1, y1], dx, dy, part = 'se') => fit([part.includes('w') ? clamp(x0 + dx, 0, x1 - .02) : x0, part.includes('n') ? clamp(y0 + dy, 0, y1 - .02) : y0,
    part.includes('e') ? clamp(x1 + dx, x0 + .02, 1) : x1, part.includes('s') ? clamp(y1 + dy, y0 + .02, 1) : y1]);
  const waiting = new Map();               // what was placed, until Python has it: two stickers a second apart must not take one place
  const present = () => [...get('boxes'), ...waiting.values()];
  let last = -1;                           // the highest id that this page gave away
  const next = () => { last = 1 + Math.max(last, get('last'), ...present().map(b => b.id)); return last; };
  function add(box, save = true) {
    const boxes = copy(), id = next(), names = boxes.map(b => b.name);
    const name = get('library').find(n => !names.includes(n)) || fresh('subject');
    boxes.push({id, name, box: fit(box), priority: 0, scale: 1});
    if (save) begin();
    edits.put(boxes);
    if (save) edits.save();
    put('selected', id);
    return id;
  }
  function extent(side) {                  // of a square on the picture, in shares of width and height
    const [W, H] = size();
    return [side * Math.min(1, H / W), side * Math.min(1, W / H)];
  }
  function free(side = .4) {               // for a new box: where it hides least of the others
    const [w, h] = extent(side), shared = ([a, b, c, d], x, y) => Math.max(0, Math.min(c, x + w) - Math.max(a, x)) * Math.max(0, Math.min(d, y + h) - Math.max(b, y));
    const spots = [.5, .06, .28].flatMap(y => [.04, .56, .3].map(x => [x, y]));
    const hidden = spots.map(([x, y]) => present().reduce((sum, b) => sum + shared(b.box, x, y), 0)), [x, y] = spots[hidden.indexOf(Math.min(...hidden))];
    return [x, y, x + w, y + h];
  }
  function around(at) {                    // a box whose middle is at a point of the window
    const [x, y] = inside(at), [w, h] = extent(.4);
    return moved([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, 0);
  }
  function inside([left, top]) {
    const r = board.getBoundingClientRect();
    return [(left - r.left) / r.width, (top - r.top) / r.height];
  }
  function place(noun, drawing, at) {      // a sticker; dropped on a box without a picture, it becomes that box's
    const holds = (b, [x, y]) => b.box[0] <= x && x <= b.box[2] && b.box[1] <= y && y <= b.box[3];
    const bare = at && get('boxes').find(b => !get('thumbs')[b.id] && holds(b, inside(at)));
    if (bare) once(bare.id, b => { b.name = fresh(noun, b.id); b.drawing = drawing; });
    else edits.send({sticker: {...promised(fresh(noun), at), drawing}});
  }
  function promised(name, at) {            // a new box that Python is asked for
    const entry = {id: next(), name, box: fit(at ? around(at) : free())};
    waiting.set(entry.id, entry);
    return entry;
  }
  let naming = null;                       // id of a box that waits for its picture to come, then for its name
  async function own(file, node, at) {     // a picture of one's own: for the box under it, or for a new one
    const content = await file.arrayBuffer(), word = file.name.replace(/\.\w+$/, '').replace(/[^\p{L}]+/gu, ' ').trim();
    if (node) return edits.send({image: +node.dataset.id, file: file.name}, [content]);
    const entry = promised(fresh(word && word !== 'image' ? word : 'picture'), at);
    naming = entry.id;
    edits.send({place: entry, file: file.name}, [content]);
  }
  function remove(id) {
    const boxes = copy(), at = boxes.findIndex(b => b.id === id), next = boxes[at + 1] || boxes[at - 1];
    begin();
    edits.put(boxes.filter(b => b.id !== id)); edits.save();
    if (next) focus(next.id); else board.focus();
  }
  const once = (id, f) => { begin(); change(id, f); };
  const rank = (id, way) => once(id, (b, boxes) => {
    const others = boxes.filter(c => c.id !== id).map(c => c.priority);
    if (others.length) b.priority = way > 0 ? Math.max(...others) + 1 : Math.min(...others) - 1;
  });
  const rename = (id, text) => { const field = list.querySelector(`[data-name=name][data-row="${id}"]`); if (field) { if (text) field.value = text; field.focus(); if (!text) field.select(); } };
  const focus = id => { const node = layer.querySelector(`[data-id="${id}"]`); if (node) node.focus(); };
  function key(e, b) {
    const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[e.key], [h, w] = get('snap') ? cells() : [100, 100];
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    if (way) { if (!e.repeat) begin(); change(b.id, c => { c.box = (e.shiftKey ? sized : moved)(c.box, way[0] / w, way[1] / h); }); }
    else if (e.key === 'Delete' || e.key === 'Backspace') remove(b.id);
    else if (e.key === 'Enter') rename(b.id);
    else if (e.key === ']' || e.key === '[') rank(b.id, e.key === ']' ? 1 : -1);
    else if (/^\p{L}$/u.test(e.key)) rename(b.id, e.key);   // a name typed on a box goes into its field
    else return;
    e.preventDefault(); e.stopPropagation();
  }

  // the board
  function paint() {
    const [W, H] = size(), held = root.contains(document.activeElement) && document.activeElement.closest('g.box'), id = held && held.dataset.id;
    root.style.setProperty('--aspect', W / H);
    board.setAttribute('viewBox', `0 0 ${W} ${H}`); board.setAttribute('width', W); board.setAttribute('height', H);
    for (const im of [back, grid]) { im.setAttribute('width', W); im.setAttribute('height', H); }
    layer.replaceChildren(); labels.replaceChildren();
    const plates = [], shade = get('level') >= 0 ? .05 : pictured() ? .06 : .22;
    const order = get('boxes').map((b, i) => [b, i]).sort((a, b) => a[0].priority - b[0].priority || a[1] - b[1]);
    for (const [b] of order) {
      const [x0, y0, x1, y1] = b.box, x = x0 * W, y = y0 * H, w = (x1 - x0) * W, h = (y1 - y0) * H, ink = hue(b);
      const g = draw('g', {class: 'box', tabindex: 0, role: 'button', 'data-id': b.id,
        'aria-label': `${b.name}: from ${percent(x0)}, ${percent(y0)} to ${percent(x1)}, ${percent(y1)}, priority ${b.priority}`}, layer);
      draw('rect', {class: 'edge', x, y, width: w, height: h, fill: ink, 'fill-opacity': shade, stroke: ink, 'stroke-width': 3, 'data-part': 'move'}, g);
      handles(g, x, y, w, h, ink);
      label(b.name, x, y, w, h, W, H, plates);
      g.addEventListener('keydown', e => key(e, b));
      g.addEventListener('focus', () => { if (get('selected') !== b.id) put('selected', b.id); });
    }
    if (id) focus(id);
  }
  const percent = x => Math.round(100 * x) + '%';
  function handles(g, x, y, w, h, ink) {    // wide strips to take hold of, of which one sees the corners
    const reach = Math.min(12, w / 3), rise = Math.min(12, h / 3);
    const at = {n: [x, y - 4, w, rise], s: [x, y + h - rise + 4, w, rise], w: [x - 4, y, reach, h], e: [x + w - reach + 4, y, reach, h]};
    for (const part in at) { const [left, top, width, height] = at[part]; draw('rect', {class: 'hold ' + part, x: left, y: top, width, height, 'data-part': part}, g); }
    for (const part of ['nw', 'ne', 'sw', 'se']) {
      const left = part.includes('w') ? x : x + w - reach, top = part.includes('n') ? y : y + h - rise, e = 6;
      draw('rect', {class: 'grip ' + part, x: part.includes('w') ? x : x + w - reach, y: top, width: reach, height: rise, fill: ink, stroke: '#fff'}, g);
      draw('rect', {class: 'hold ' + part, x: left - e, y: top - e, width: reach + 2 * e, height: rise + 2 * e, 'data-part': part}, g);
    }
  }
  function label(name, x, y, w, h, W, H, plates) {   // in the corner of its box where no other name stands
    const room = Math.max(2, Math.floor((W - 6) / 7.5)), text = name.length > room ? name.slice(0, room - 1) + '…' : name, wide = 7.5 * text.length;
    const spots = [[x + 15, y + 15], [x + w - wide - 15, y + 15], [x + 15, y + h - 6], [x + w - wide - 15, y + h - 6], [x + 15, y + h / 2 + 5], [x + 15, y + 31], [x + 15, y + 47]]
      .map(([a, b]) => [clamp(a, 2, Math.max(2, W - wide - 4)), clamp(b, 13, H - 4)]);
    const free = ([a, b]) => plates.every(([c, d, long]) => a + wide < c || c + long < a || Math.abs(b - d) > 14);
    const [a, b] = spots.find(free) || spots[0];
    plates.push([a, b, wide]);
    draw('text', {x: a, y: b, 'font-size': 13, fill: '#fff', stroke: '#000', 'stroke-width': 3, 'paint-order': 'stroke'}, labels).textContent = text;
  }

  let drag = null;
  const point = e => inside([e.clientX, e.clientY]);
  board.addEventListener('pointerdown', e => {
    const [x, y] = point(e), g = e.target.closest && e.target.closest('g.box');
    if (g) { const b = get('boxes').find(c => c.id === +g.dataset.id); drag = {id: b.id, part: e.target.dataset.part || 'move', x, y, box: [...b.box]}; }
    else drag = {id: null, part: 'se', x, y, box: [x, y, x, y]};
    begin();
    board.setPointerCapture(e.pointerId); e.preventDefault();
    if (drag.id != null) focus(drag.id);
  });
  board.addEventListener('pointermove', e => {
    if (!drag) return;
    const [x, y] = point(e), dx = x - drag.x, dy = y - drag.y;
    if (drag.id == null) {
      if (Math.hypot(dx, dy) < .02) return;
      drag.id = add([drag.x, drag.y, drag.x + .02, drag.y + .02], false);
      drag.fresh = true;
    }
    change(drag.id, b => { b.box = drag.fresh ? fit([Math.min(drag.x, x), Math.min(drag.y, y), Math.max(drag.x, x, Math.min(drag.x, x) + .02), Math.max(drag.y, y, Math.min(drag.y, y) + .02)]) : drag.part === 'move' ? moved(drag.box, dx, dy) : sized(drag.box, dx, dy, drag.part); });
  });
  const drop = () => { if (drag) { const id = drag.id; drag = null; edits.save(); if (id != null) focus(id); } };
  board.addEventListener('pointerup', drop);
  board.addEventListener('pointercancel', drop);

  // the list below it
  let rows = '';
  list.addEventListener('focusout', () => setTimeout(table));
  function table() {
    const boxes = get('boxes'), now = JSON.stringify([boxes.map(b => [b.id, b.name, b.priority, b.scale]), get('thumbs'), get('palette'), get('drawings')]);
    const held = list.contains(document.activeElement) ? document.activeElement : null, typed = held && held.matches('input') && held.value !== held.defaultValue;
    if (now === rows || typed) return;     // what is being typed stays; the list follows when the field is left
    const mark = held && held.type === 'text' ? [held.selectionStart, held.selectionEnd] : null;
    rows = now;
    const button = (b, name, text, title, f) => make('button', {type: 'button', 'data-name': name, 'data-row': b.id, 'aria-label': `${title}: ${b.name}`, title, text, onclick: f});
    list.replaceChildren(make('table', {}, make('tbody', {}, ...boxes.map(b => {
      const thumb = get('thumbs')[b.id], file = make('input', {type: 'file', accept: 'image/*', hidden: true, 'aria-label': `a picture of ${b.name} from a file`, onchange: async e => {
        const f = e.target.files[0];
        if (f) edits.send({image: b.id, file: f.name}, [await f.arrayBuffer()]);
      }});
      return make('tr', {}, make('td', {}, make('span', {class: 'dot', style: 'background:' + hue(b)}), thumb ? make('img', {src: thumb, width: 28, height: 28, alt: 'reference of ' + b.name, style: 'vertical-align:middle;object-fit:contain'}) : make('span', {class: 'none', text: '?', title: 'no picture yet'})),
        make('td', {}, make('input', {type: 'text', 'data-name': 'name', 'data-row': b.id, size: 12, value: b.name, list: known.id, autocomplete: 'off', 'aria-label': 'name of ' + b.name, onchange: e => { e.target.defaultValue = e.target.value; once(b.id, c => { c.name = e.target.value; }); }})),
        make('td', {}, drawing(b)),
        make('td', {}, make('label', {}, 'scale', make('input', {type: 'number', 'data-name': 'scale', 'data-row': b.id, min: 0, max: 10, step: .1, value: b.scale, style: 'width:4.5em', 'aria-label': `scale of ${b.name}`, onchange: e => { e.target.defaultValue = e.target.value; once(b.id, c => { c.scale = e.target.value === '' ? null : +e.target.value; }); }}))),
        make('td', {}, button(b, 'front', '▲', 'to the front', () => rank(b.id, 1)), ' ', button(b, 'back', '▼', 'to the back', () => rank(b.id, -1)), ' ',
          button(b, 'image', '…', 'choose its picture', () => file.click()), file, ' ', button(b, 'delete', '×', 'delete', () => remove(b.id))));
    }))));
    if (!held) return;
    const node = list.querySelector(`[data-name="${held.dataset.name}"][data-row="${held.dataset.row}"]`);
    if (!node) return board.focus();       // its row is gone: the keys still belong to the editor
    node.focus();
    if (mark) node.setSelectionRange(...mark);
  }

  function drawing(b) {                     // which of the library's drawings; for a box without a picture, of what
    const [names, texts, chosen] = get('drawings')[b.id] || [[], [], ''], bare = !get('thumbs')[b.id];
    if (!names.length && !(bare && get('nouns').length)) return null;
    const first = names.length ? 'own picture' : 'choose a sticker …', values = names.length ? names : get('nouns');
    const pick = make('select', {'data-name': 'drawing', 'data-row': b.id, title: names.length ? 'which drawing' : 'choose a picture', 'aria-label': (names.length ? 'which drawing of ' : 'a sticker for ') + b.name,
      onchange: e => { const value = values[e.target.selectedIndex - (chosen ? 0 : 1)]; if (value == null) return; if (names.length) edits.send({draw: b.id, drawing: value}); else once(b.id, c => { c.name = fresh(value, b.id); }); }},
      ...(chosen ? [] : [make('option', {text: first})]), ...values.map((v, i) => make('option', {text: names.length ? texts[i] : v})));
    pick.selectedIndex = chosen ? names.indexOf(chosen) : 0;
    return pick;
  }
  function fresh(name, id) {                // a name that no other box has: fox, fox 2, fox 3
    const taken = present().filter(c => c.id !== id).map(c => c.name);
    let n = 1, found = name;
    while (taken.includes(found)) found = `${name} ${++n}`;
    return found;
  }

  // owners, gaps and collisions of the chosen level, as Python found them
  function tokens() {
    const found = get('cells'), shown = get('level') >= 0 && found.grid;
    grid.setAttribute('display', shown ? 'inline' : 'none');
    legend.textContent = shown ? `coloured: owner · hatched: ${found.collisions} collision${found.collisions === 1 ? '' : 's'} · grey: ${found.gaps} of ${found.owners.length} tokens without a subject` : '';
    if (!shown) return;
    const [h, w] = found.grid, cell = Math.max(6, Math.round(size()[0] / w)), canvas = make('canvas', {width: w * cell, height: h * cell}), ink = canvas.getContext('2d');
    found.owners.forEach((owner, i) => {
      const x = i % w * cell, y = Math.floor(i / w) * cell;
      ink.globalAlpha = owner < 0 ? .25 : .62; ink.fillStyle = owner < 0 ? '#999' : get('palette')[owner % get('palette').length]; ink.fillRect(x, y, cell, cell);
      ink.globalAlpha = 1; ink.strokeStyle = 'rgba(255,255,255,.55)'; ink.strokeRect(x, y, cell, cell);
      if (found.counts[i] > 1) { ink.strokeStyle = '#000'; ink.beginPath(); ink.moveTo(x, y + cell); ink.lineTo(x + cell, y); ink.moveTo(x, y + cell / 2); ink.lineTo(x + cell / 2, y); ink.stroke(); }
    });
    grid.setAttribute('href', canvas.toDataURL());
  }
  function words() {
    say.textContent = get('message'); say.classList.toggle('bad', get('bad'));
    level.selectedIndex = get('level') + 1; snap.checked = get('snap');
    clear.disabled = !get('boxes').length; undo.disabled = !get('undoable'); redo.disabled = !get('redoable'); mayHide.hidden = !get('picture');
    if (get('picture')) back.setAttribute('href', get('picture')); else back.removeAttribute('href');
    back.setAttribute('display', pictured() ? 'inline' : 'none');
  }
  const pictured = () => Boolean(get('picture')) && under.checked;
  const all = () => { words(); tokens(); paint(); table(); };
  ['palette', 'size'].forEach(n => on('change:' + n, () => { paint(); table(); }));
  const arrived = () => { for (const b of get('boxes')) waiting.delete(b.id); };
  const named = () => { if (naming != null && get('boxes').some(b => b.id === naming)) { rename(naming); naming = null; } };
  anymsOwnPictures(root, board, own);
  on('change:cells', tokens);
  ['message', 'bad', 'snap', 'undoable', 'redoable'].forEach(n => on('change:' + n, words));
  on('change:bad', () => { if (get('bad')) waiting.clear(); });
  on('change:picture', () => { words(); paint(); });
  on('change:level', all);
  on('comm_live_update', () => { gone.textContent = 'The kernel of this editor is gone: what you see stays, but Python no longer follows. Run the cell again.'; });
  all();
}

const anymsLiveEditor = {render({model, el}) {
  const heard = [], root = anymsMake('div');
  el.append(root);
  anymsEditor(root, model, (event, f) => { model.on(event, f); heard.push([event, f]); });
  return () => heard.forEach(([event, f]) => model.off(event, f));
}};

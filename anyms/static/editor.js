// The box editor's page side: boxes on a board, a list beside it. Python holds the layout, rounds to tokens and finds overlaps; names are written by textContent only.
const anymsSpace = 'http://www.w3.org/2000/svg';
function anymsDraw(tag, attributes, parent) {
  const node = document.createElementNS(anymsSpace, tag);
  for (const k in attributes) node.setAttribute(k, attributes[k]);
  if (parent) parent.append(node);
  return node;
}

function anymsEditor(root, model, on) {
  const make = anymsMake, draw = anymsDraw, get = n => model.get(n), put = (n, v) => { model.set(n, v); model.save_changes(); };
  const size = () => get('size'), hue = b => get('palette')[get('boxes').findIndex(c => c.id === b.id) % get('palette').length];
  const copy = () => get('boxes').map(b => ({...b, box: [...b.box]})), trim = x => Math.round(x * 1e4) / 1e4, clamp = (x, a, b) => Math.min(b, Math.max(a, x));
  root.classList.add('anyms', 'anyms-editor');
  anymsKeys(root);
  const board = draw('svg', {class: 'board', role: 'group', 'aria-label': 'the picture and its boxes'});
  const back = draw('image', {preserveAspectRatio: 'none'}, board), grid = draw('image', {preserveAspectRatio: 'none', style: 'image-rendering:pixelated;pointer-events:none'}, board), layer = draw('g', {}, board);
  const level = make('select', {'data-name': 'level', 'aria-label': 'token grid', onchange: e => put('level', e.target.selectedIndex - 1)},
    make('option', {text: 'no grid'}), ...get('levels').map(([h, w]) => make('option', {text: `${h} x ${w} tokens`})));
  const snap = make('input', {type: 'checkbox', 'data-name': 'snap', onchange: e => put('snap', e.target.checked)});
  const list = make('div', {style: 'max-height:22em;overflow:auto'}), say = make('div', {class: 'say', role: 'status'}), gone = make('div', {class: 'say bad', role: 'alert'}), legend = make('div', {class: 'hint'});
  root.replaceChildren(
    make('div', {class: 'bar'}, make('button', {type: 'button', 'data-name': 'add', text: '+ box', onclick: () => add(spot())}),
      make('label', {}, snap, make('b', {text: 'snap to tokens'})), make('label', {}, make('b', {text: 'show'}), level), legend),
    make('div', {class: 'panels'}, board, make('div', {style: 'flex:1 1 300px;min-width:0'}, list)), say, gone,
    make('div', {class: 'hint', text: 'Drag a box to move it, its lower right corner to resize it, the empty canvas to draw a new one. With the keyboard: Tab to a box, arrows move, Shift + arrows resize, ] and [ bring it to the front or the back, Delete removes it.'}));

  // changes
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
    model.set('boxes', boxes);
    if (save) model.save_changes();
  }
  function moved([x0, y0, x1, y1], dx, dy) {
    dx = clamp(dx, -x0, 1 - x1); dy = clamp(dy, -y0, 1 - y1);
    return fit([x0 + dx, y0 + dy, x1 + dx, y1 + dy]);
  }
  const sized = ([x0, y0, x1, y1], dx, dy) => fit([x0, y0, clamp(x1 + dx, x0 + .02, 1), clamp(y1 + dy, y0 + .02, 1)]);
  function add(box, save = true) {
    const boxes = copy(), id = 1 + Math.max(-1, ...boxes.map(b => b.id), get('last')), names = boxes.map(b => b.name);
    const spare = get('library').find(n => !names.includes(n));
    let name = spare || 'subject', n = 1;
    while (names.includes(name)) name = 'subject ' + ++n;
    boxes.push({id, name, box: fit(box), priority: 0, scale: 1});
    model.set('last', id); model.set('boxes', boxes); model.set('selected', id);
    if (save) model.save_changes();
    return id;
  }
  function spot() {                        // for a new box: down the diagonal, so that several do not hide each other
    const at = .08 + .09 * (get('boxes').length % 6);
    return [at, at, at + .3, at + .3];
  }
  function remove(id) {
    const boxes = copy(), at = boxes.findIndex(b => b.id === id), next = boxes[at + 1] || boxes[at - 1];
    put('boxes', boxes.filter(b => b.id !== id));
    if (next) focus(next.id);
  }
  const rank = (id, way) => change(id, (b, boxes) => {
    const others = boxes.filter(c => c.id !== id).map(c => c.priority);
    if (others.length) b.priority = way > 0 ? Math.max(...others) + 1 : Math.min(...others) - 1;
  });
  const focus = id => { const node = layer.querySelector(`[data-id="${id}"]`); if (node) node.focus(); };
  function key(e, b) {
    const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[e.key], [h, w] = get('snap') ? cells() : [100, 100];
    if (way) change(b.id, c => { c.box = (e.shiftKey ? sized : moved)(c.box, way[0] / w, way[1] / h); });
    else if (e.key === 'Delete' || e.key === 'Backspace') remove(b.id);
    else if (e.key === ']' || e.key === '[') rank(b.id, e.key === ']' ? 1 : -1);
    else return;
    e.preventDefault(); e.stopPropagation();
  }

  // the board
  function paint() {
    const [W, H] = size(), held = root.contains(document.activeElement) && document.activeElement.closest('g.box'), id = held && held.dataset.id;
    board.setAttribute('viewBox', `0 0 ${W} ${H}`); board.setAttribute('width', W); board.setAttribute('height', H);
    for (const im of [back, grid]) { im.setAttribute('width', W); im.setAttribute('height', H); }
    layer.replaceChildren();
    const order = get('boxes').map((b, i) => [b, i]).sort((a, b) => a[0].priority - b[0].priority || a[1] - b[1]);
    for (const [b] of order) {
      const [x0, y0, x1, y1] = b.box, x = x0 * W, y = y0 * H, w = (x1 - x0) * W, h = (y1 - y0) * H, ink = hue(b);
      const g = draw('g', {class: 'box', tabindex: 0, role: 'button', 'data-id': b.id,
        'aria-label': `${b.name}: from ${percent(x0)}, ${percent(y0)} to ${percent(x1)}, ${percent(y1)}, priority ${b.priority}`}, layer);
      draw('rect', {class: 'edge', x, y, width: w, height: h, fill: ink, 'fill-opacity': get('level') < 0 ? .22 : .05, stroke: ink, 'stroke-width': 3, 'data-part': 'move'}, g);
      const tag = draw('text', {x: x + 5, y: y + 15, 'font-size': 13, fill: '#fff', stroke: '#000', 'stroke-width': 3, 'paint-order': 'stroke', style: 'pointer-events:none;user-select:none'}, g);
      const room = Math.max(2, Math.floor((W - x - 6) / 7.5));
      tag.textContent = b.name.length > room ? b.name.slice(0, room - 1) + '…' : b.name;
      draw('rect', {class: 'grip', x: x + w - 12, y: y + h - 12, width: 12, height: 12, fill: ink, stroke: '#fff', 'data-part': 'size'}, g);
      g.addEventListener('keydown', e => key(e, b));
      g.addEventListener('focus', () => { if (get('selected') !== b.id) put('selected', b.id); });
    }
    if (id) focus(id);
  }
  const percent = x => Math.round(100 * x) + '%';

  let drag = null;
  const point = e => { const r = board.getBoundingClientRect(); return [(e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height]; };
  board.addEventListener('pointerdown', e => {
    const [x, y] = point(e), g = e.target.closest && e.target.closest('g.box');
    if (g) { const b = get('boxes').find(c => c.id === +g.dataset.id); drag = {id: b.id, part: e.target.dataset.part || 'move', x, y, box: [...b.box]}; }
    else drag = {id: null, part: 'size', x, y, box: [x, y, x, y]};
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
    change(drag.id, b => { b.box = drag.fresh ? fit([Math.min(drag.x, x), Math.min(drag.y, y), Math.max(drag.x, x, Math.min(drag.x, x) + .02), Math.max(drag.y, y, Math.min(drag.y, y) + .02)]) : drag.part === 'move' ? moved(drag.box, dx, dy) : sized(drag.box, dx, dy); });
  });
  const drop = () => { if (drag) { const id = drag.id; drag = null; model.save_changes(); if (id != null) focus(id); } };
  board.addEventListener('pointerup', drop);
  board.addEventListener('pointercancel', drop);

  // the list beside it
  let rows = '';
  function table() {
    const boxes = get('boxes'), now = JSON.stringify([boxes.map(b => [b.id, b.name, b.priority, b.scale]), get('thumbs'), get('palette')]);
    if (now === rows) return;
    const held = root.contains(document.activeElement) && list.contains(document.activeElement) ? [document.activeElement.dataset.name, document.activeElement.dataset.row] : null;
    rows = now;
    const button = (b, name, text, title, f) => make('button', {type: 'button', 'data-name': name, 'data-row': b.id, 'aria-label': `${title}: ${b.name}`, title, text, onclick: f});
    list.replaceChildren(make('table', {}, make('tbody', {}, ...boxes.map(b => {
      const thumb = get('thumbs')[b.id], file = make('input', {type: 'file', accept: 'image/*', hidden: true, onchange: async e => {
        const f = e.target.files[0];
        if (f) model.send({image: b.id, file: f.name}, undefined, [await f.arrayBuffer()]);
      }});
      return make('tr', {}, make('td', {}, make('span', {class: 'dot', style: 'background:' + hue(b)}), thumb ? make('img', {src: thumb, width: 28, height: 28, alt: 'reference', style: 'vertical-align:middle'}) : null),
        make('td', {}, make('input', {type: 'text', 'data-name': 'name', 'data-row': b.id, size: 12, value: b.name, 'aria-label': 'name', onchange: e => change(b.id, c => { c.name = e.target.value; })})),
        make('td', {}, make('label', {}, 'scale', make('input', {type: 'number', 'data-name': 'scale', 'data-row': b.id, min: 0, max: 10, step: .1, value: b.scale, style: 'width:4.5em', 'aria-label': `scale of ${b.name}`, onchange: e => change(b.id, c => { c.scale = e.target.value === '' ? null : +e.target.value; })}))),
        make('td', {}, button(b, 'front', '▲', 'to the front', () => rank(b.id, 1)), ' ', button(b, 'back', '▼', 'to the back', () => rank(b.id, -1)), ' ',
          button(b, 'image', '…', 'choose its picture', () => file.click()), file, ' ', button(b, 'delete', '×', 'delete', () => remove(b.id))));
    }))));
    if (held) { const node = list.querySelector(`[data-name="${held[0]}"][data-row="${held[1]}"]`); if (node) node.focus(); }
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
    if (get('picture')) back.setAttribute('href', get('picture')); else back.removeAttribute('href');
    back.setAttribute('display', get('picture') ? 'inline' : 'none');
  }
  const all = () => { words(); tokens(); paint(); table(); };
  ['boxes', 'palette', 'size', 'thumbs'].forEach(n => on('change:' + n, () => { paint(); table(); }));
  on('change:cells', tokens);
  ['message', 'bad', 'snap', 'picture'].forEach(n => on('change:' + n, words));
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

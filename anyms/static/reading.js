// What does this place read? Hover a place of the picture: cells of each reference light up. Hover a cell: the places that read it light up.
// All numbers are in the page: per subject and place the weights of its reference's tokens, four bits each, relative to the place's strongest.
function anymsReadingMaps(facts) {
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)), n = facts.grid[0]*facts.grid[1], r = facts.tokens;
  return facts.subjects.map(subject => {
    const packed = bytes(subject.levels), peaks = bytes(subject.peaks);
    const level = (i, token) => { const k = i*r + token, byte = packed[k >> 1]; return k & 1 ? byte & 15 : byte >> 4; };
    const weight = (i, token) => level(i, token)/15*peaks[i]/255;
    return {
      place: i => Array.from({length: r}, (_, token) => weight(i, token)),      // what a place reads [r]
      token: token => Array.from({length: n}, (_, i) => weight(i, token)),      // where a token is read [n]
    };
  });
}

function anymsReading(root, facts) {
  const maps = anymsReadingMaps(facts), [gh, gw] = facts.grid, n = gh*gw, make = anymsMake, [W, H] = facts.size;
  let place = facts.place, cell = null, pinned = Boolean(facts.pinned);
  root.classList.add('anyms', 'anyms-reading');
  root.classList.toggle('compact', Boolean(facts.compact));   // references in a column beside the picture
  anymsKeys(root);
  root.querySelectorAll('.fallback').forEach(node => node.remove());
  const load = src => { const image = new Image(); image.onload = draw; image.src = src; return image; };
  const canvas = (w, h, label) => make('canvas', {width: w, height: h, tabindex: 0, role: 'img', 'aria-label': label, style: 'cursor:crosshair'});
  const picture = {canvas: canvas(W, H, 'the picture: arrows move the place'), image: null};
  const references = facts.subjects.map(subject => {
    const side = facts.cells ? 144 : 24*facts.tokens;
    return {subject, canvas: canvas(side, 144, `reference of ${subject.name}: arrows move the cell`), title: make('figcaption'), figure: null, image: null};
  });
  for (const one of references) one.figure = make('figure', {}, one.title, one.canvas);
  const told = make('output', {class: 'say', 'aria-live': 'polite'});
  root.append(make('div', {class: 'panels'}, make('figure', {}, make('figcaption', {text: facts.title}), picture.canvas),
    ...references.map(one => one.figure)), told, make('div', {class: 'hint', text: facts.hint}));

  // from a pointer to a place or a cell
  const at = (event, node, rows, columns) => {
    const r = node.getBoundingClientRect(), x = (event.clientX - r.left)/r.width, y = (event.clientY - r.top)/r.height;
    return Math.min(rows - 1, Math.max(0, Math.floor(y*rows)))*columns + Math.min(columns - 1, Math.max(0, Math.floor(x*columns)));
  };
  const cellGrid = facts.cells || [1, facts.tokens];
  const show = (i, c) => { place = i; cell = c; draw(); };
  function listen(node, rows, columns, look, now) {
    node.addEventListener('pointermove', event => { if (!pinned) look(at(event, node, rows, columns)); });
    node.addEventListener('click', event => { pinned = !pinned; look(at(event, node, rows, columns)); });
    node.addEventListener('keydown', event => {
      const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      if (!step) return;
      event.preventDefault();
      const i = now() ?? 0, x = Math.min(columns - 1, Math.max(0, i % columns + step[0])), y = Math.min(rows - 1, Math.max(0, Math.floor(i/columns) + step[1]));
      look(y*columns + x);
    });
  }
  listen(picture.canvas, gh, gw, i => show(i, null), () => place);
  references.forEach((one, j) => listen(one.canvas, ...cellGrid, token => show(null, {j, token}), () => cell && cell.j === j ? cell.token : 0));

  // drawing
  function shade(context, values, rows, columns, w, h, most) {      // dark where nothing is read
    const top = most || Math.max(...values, 1e-9);
    values.forEach((value, i) => {
      context.fillStyle = `rgba(0,0,0,${.82*(1 - value/top)})`;
      const x = Math.round((i % columns)*w/columns), y = Math.round(Math.floor(i/columns)*h/rows);
      context.fillRect(x, y, Math.round((i % columns + 1)*w/columns) - x, Math.round((Math.floor(i/columns) + 1)*h/rows) - y);
    });
  }
  function mark(context, i, rows, columns, w, h) {
    context.strokeStyle = '#fff'; context.lineWidth = 2;
    context.strokeRect((i % columns)*w/columns + 1, Math.floor(i/columns)*h/rows + 1, w/columns - 2, h/rows - 2);
  }
  function bars(context, values, color, h) {
    context.clearRect(0, 0, context.canvas.width, h); context.fillStyle = color;
    values.forEach((value, token) => context.fillRect(24*token + 3, h - 4 - value*(h - 8), 18, value*(h - 8) + 2));
  }
  function draw() {
    if (picture.canvas.width !== W) return;
    const ink = picture.canvas.getContext('2d');
    if (picture.image && picture.image.complete) ink.drawImage(picture.image, 0, 0, W, H);
    if (cell) shade(ink, maps[cell.j].token(cell.token), gh, gw, W, H);
    facts.subjects.forEach(subject => { const [x0, y0, x1, y1] = subject.box; ink.strokeStyle = subject.color; ink.lineWidth = 3; ink.strokeRect(x0*W, y0*H, (x1 - x0)*W, (y1 - y0)*H); });
    if (place != null) mark(ink, place, gh, gw, W, H);
    references.forEach((one, j) => {
      const context = one.canvas.getContext('2d'), [rows, columns] = cellGrid, w = one.canvas.width, heard = place != null && facts.subjects[j].heard[place] === '1';
      const weights = place != null ? maps[j].place(place) : null;
      if (!facts.cells) bars(context, weights || Array(facts.tokens).fill(0), one.subject.color, 144);
      else {
        if (one.image && one.image.complete) context.drawImage(one.image, 0, 0, w, 144);
        if (weights) shade(context, weights, rows, columns, w, 144);
        if (cell && cell.j === j) mark(context, cell.token, rows, columns, w, 144);
      }
      one.figure.classList.toggle('silent', place != null && !heard);
      one.title.textContent = one.subject.name + (place == null ? '' : heard ? ': heard here' : ': not heard here');
    });
    told.textContent = cell ? `Bright: places that read this ${facts.cells ? 'cell' : 'token'} of ${facts.subjects[cell.j].name}.`
      : place == null ? '' : `Place (${Math.floor(place/gw)}, ${place % gw}) of ${gh} x ${gw} tokens: bright is what it reads of each reference.`;
  }
  root.anymsReading = {maps, show, state: () => ({place, cell, pinned})};
  picture.image = load(facts.picture);
  references.forEach(one => { one.image = load(one.subject.reference); });
  draw();
}

// Live: every new picture comes with its own numbers; the place that is looked at stays.
const anymsLiveReading = {render({model, el}) {
  let root = null;
  function draw() {
    const facts = model.get('facts'), before = root && root.anymsReading && root.anymsReading.state();
    el.replaceChildren();
    root = null;
    if (!facts.subjects) return;
    root = anymsMake('div');
    el.append(root);
    const same = before && before.place < facts.grid[0]*facts.grid[1];
    anymsReading(root, {...facts, place: same ? before.place : null, pinned: same && before.pinned});
  }
  model.on('change:facts', draw);
  draw();
  return () => model.off('change:facts', draw);
}};

// The toy of lessons/01_toy_attention, alive: a query asks "what is at my place?", a value is a colour, so the output of attention is a picture.
// One layer, no network, no kernel. `anymsToyMath` is all of its arithmetic and is tested against anyms.attention; `anymsToy` is the page side.
function anymsToyMath(facts) {
  const [gh, gw] = facts.grid, n = gh*gw, side = facts.side, r = side*side, s = facts.subjects.length;
  const middle = (i, count) => (i + .5)/count;
  const colors = facts.subjects.map(subject => Float64Array.from(subject.rgb.match(/../g), byte => parseInt(byte, 16)/255));
  // softmax(q k / sqrt d) of a place over the patches of one reference: highest where the patch is nearest [r]
  function softmax(i) {
    const x = middle(i % gw, gw), y = middle(Math.floor(i/gw), gh), scores = new Float64Array(r);
    for (let p = 0; p < r; p++) {
      const px = middle(p % side, side), py = middle(Math.floor(p/side), side);
      scores[p] = facts.sharpness*(x*px + y*py - (px*px + py*py)/2)/Math.sqrt(4);
    }
    const top = scores.reduce((a, b) => Math.max(a, b));
    let sum = 0;
    for (let p = 0; p < r; p++) sum += scores[p] = Math.exp(scores[p] - top);
    return scores.map(score => score/sum);
  }
  // Z_j of every subject at every place [s][n*3]; no box enters here, so it is made once
  const answers = colors.map(() => new Float64Array(n*3));
  for (let i = 0; i < n; i++) {
    const weights = softmax(i);
    for (let j = 0; j < s; j++) for (let p = 0; p < r; p++) if (weights[p] > 1e-12) for (let c = 0; c < 3; c++) answers[j][3*i + c] += weights[p]*colors[j][3*p + c];
  }
  // a box in whole tokens: edges to the nearest one, halves up, at least one token; or outwards to every token that it touches
  function span(from, to, count, rounding) {
    let a, b;
    if (rounding === 'outward') { a = Math.floor(from*count + 1e-9); b = Math.ceil(to*count - 1e-9); }
    else { a = Math.floor(from*count + .5); b = Math.floor(to*count + .5); }
    const between = Math.min(Math.floor((from + to)/2*count), count - 1);   // a box between two edges keeps the token under its middle
    return a < b ? [a, b] : [between, between + 1];
  }
  function cover(boxes, rounding) {
    return boxes.map(([x0, y0, x1, y1]) => {
      const [left, right] = span(x0, x1, gw, rounding), [top, bottom] = span(y0, y1, gh, rounding), inside = new Uint8Array(n);
      for (let y = top; y < bottom; y++) inside.fill(1, y*gw + left, y*gw + right);
      return inside;
    });
  }
  // how loudly each subject speaks at each place [s][n]
  function voices(knobs, boxes) {
    const covers = cover(boxes, knobs.rounding || 'nearest'), local = ['masked', 'crop_merge'].includes(knobs.variant);
    const overlap = knobs.overlap || (knobs.variant === 'masked' ? 'sum' : 'priority');
    return covers.map((inside, j) => Float64Array.from(inside, (here, i) => {
      if (!local) return knobs.variant === 'joint' ? 1/s : knobs.variant === 'text_only' ? 0 : 1;
      if (!here) return 0;
      if (overlap === 'sum') return 1;
      if (overlap === 'mean') return 1/covers.reduce((count, other) => count + other[i], 0);
      return covers.slice(j + 1).some(other => other[i]) ? 0 : 1;           // the painter's rule: the last one wins
    }));
  }
  // the output of the layer [n*3]
  function output(knobs, boxes) {
    const voice = voices(knobs, boxes), z = new Float64Array(n*3), scale = knobs.scale ?? 1;
    const asks = knobs.background === 'query' && ['masked', 'crop_merge'].includes(knobs.variant);
    for (let i = 0; i < n; i++) {
      const empty = asks && voice.every(of => !of[i]), own = [middle(i % gw, gw), middle(Math.floor(i/gw), gh), 1];
      for (let c = 0; c < 3; c++) {
        let sum = empty ? own[c] : 0;
        for (let j = 0; j < s; j++) sum += voice[j][i]*answers[j][3*i + c];
        z[3*i + c] = scale*sum;
      }
    }
    return z;
  }
  return {n, softmax, voices, output};
}

function anymsToy(root, facts) {
  const math = anymsToyMath(facts), [gh, gw] = facts.grid, zoom = Math.ceil(240/gw), W = gw*zoom, H = gh*zoom;
  const boxes = facts.subjects.map(subject => [...subject.box]), sides = facts.sides.map(knobs => ({...knobs})), make = anymsMake;
  let place = [...facts.place], held = null;
  root.classList.add('anyms', 'anyms-toy');
  anymsKeys(root);
  root.querySelectorAll('.fallback').forEach(node => node.remove());
  const svg = (tag, attributes, parent) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    return parent ? parent.appendChild(node) : node;
  };
  // a canvas of gw x gh pixels from numbers [n*3], shown large
  function paint(canvas, numbers) {
    const context = canvas.getContext('2d'), image = context.createImageData(gw, gh);
    for (let i = 0; i < math.n; i++) {
      for (let c = 0; c < 3; c++) image.data[4*i + c] = Math.round(255*Math.min(1, Math.max(0, numbers[3*i + c])));
      image.data[4*i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }
  const panel = label => {
    const canvas = make('canvas', {width: gw, height: gh, role: 'img', 'aria-label': label, style: `width:${W}px;height:${H}px;image-rendering:pixelated`});
    return {canvas, title: make('figcaption', {text: label})};
  };
  // a set of radio buttons
  let sets = 0;
  const uid = 'toy' + Math.random().toString(36).slice(2);
  function choice(title, options, value, change) {
    const name = uid + sets++;
    return make('fieldset', {}, make('legend', {text: title}), ...options.map(option => make('label', {},
      make('input', {type: 'radio', name, 'data-name': title, value: option, checked: option === value, onchange: () => { change(option); draw(); }}), make('span', {text: option}))));
  }
  function controls(knobs, title) {
    const bars = [choice(title, facts.variants, knobs.variant, v => { knobs.variant = v; })];
    if (facts.knobs) bars.push(
      choice('loudness', ['1', '0.5'], String(knobs.scale ?? 1), v => { knobs.scale = +v; }),
      choice('overlap', ['its own', 'priority', 'sum', 'mean'], knobs.overlap || 'its own', v => { knobs.overlap = v === 'its own' ? null : v; }),
      choice('outside', ['zero', 'query'], knobs.background || 'zero', v => { knobs.background = v; }),
      choice('rounding', ['nearest', 'outward'], knobs.rounding || 'nearest', v => { knobs.rounding = v; }));
    return make('div', {class: 'bar'}, ...bars);
  }
  // panels: a picture for each side with the boxes on top, and the difference where there are two
  const panels = sides.map((knobs, k) => panel(`${'AB'[k]}`)), difference = sides.length > 1 ? panel('10 × |A − B|') : null;
  const boards = panels.map(({canvas, title}) => {
    const board = svg('svg', {viewBox: '0 0 1 1', preserveAspectRatio: 'none', style: `position:absolute;inset:0;width:${W}px;height:${H}px;touch-action:none`});
    const shapes = facts.subjects.map((subject, j) => {
      const shape = svg('rect', {fill: 'transparent', stroke: subject.color, 'stroke-width': 3, 'vector-effect': 'non-scaling-stroke', tabindex: 0, role: 'button',
        'aria-label': `box of ${subject.name}: arrows move it, Shift and arrows resize it`, style: 'cursor:move'}, board);
      shape.addEventListener('keydown', event => nudge(event, j));
      return shape;
    });
    const cross = svg('circle', {r: .018, fill: 'none', stroke: '#fff', 'stroke-width': 2, 'vector-effect': 'non-scaling-stroke', style: 'mix-blend-mode:difference'}, board);
    const stage = make('div', {style: `position:relative;width:${W}px;height:${H}px`}, canvas, board);
    board.addEventListener('pointerdown', event => grab(event, board));
    board.addEventListener('pointermove', event => drag(event, board));
    for (const end of ['pointerup', 'pointercancel']) board.addEventListener(end, () => { held = null; });
    return {shapes, cross, figure: make('figure', {}, title, stage)};
  });
  const reads = facts.subjects.map(subject => {
    const canvas = make('canvas', {width: facts.side, height: facts.side, role: 'img', style: `width:${H/2}px;height:${H/2}px;image-rendering:pixelated`, 'aria-label': `what the place reads of ${subject.name}`});
    return {canvas, title: make('figcaption', {}), subject};
  });
  const told = make('output', {class: 'say', 'aria-live': 'polite'});
  root.append(...sides.map((knobs, k) => controls(knobs, sides.length > 1 ? 'AB'[k] : 'attention')),
    make('div', {class: 'panels'}, ...boards.map(b => b.figure), difference && make('figure', {}, difference.title, difference.canvas),
      ...reads.map(read => make('figure', {}, read.title, read.canvas))), told);
  // moving boxes and the place
  const clamp = (v, low, high) => Math.min(high, Math.max(low, v)), least = 1.5/Math.max(gh, gw);
  const point = (event, board) => { const r = board.getBoundingClientRect(); return [(event.clientX - r.left)/r.width, (event.clientY - r.top)/r.height].map(v => clamp(v, 0, .999)); };
  function grab(event, board) {
    const [x, y] = place = point(event, board), near = (edge, v) => Math.abs(edge - v) < .035, top = [...boxes.keys()].reverse();
    const corner = ([x0, y0, x1, y1]) => [near(x1, x) ? 2 : near(x0, x) ? 0 : -1, near(y1, y) ? 3 : near(y0, y) ? 1 : -1];
    const cornered = top.find(j => Math.min(...corner(boxes[j])) >= 0);      // a corner below another box can be taken, too
    const inside = top.find(j => x > boxes[j][0] && x < boxes[j][2] && y > boxes[j][1] && y < boxes[j][3]);
    if (cornered !== undefined) held = {j: cornered, corner: corner(boxes[cornered])};
    else if (inside !== undefined) held = {j: inside, x, y, box: [...boxes[inside]]};
    board.setPointerCapture(event.pointerId);
    event.preventDefault();
    draw();
  }
  function drag(event, board) {
    if (!held) return;
    const [x, y] = point(event, board), box = boxes[held.j];
    if (held.corner) { resize(box, held.corner, x, y); place = [x, y]; }
    else move(box, held.box, x - held.x, y - held.y);
    draw();
  }
  function resize(box, [horizontal, vertical], x, y) {
    box[horizontal] = horizontal ? Math.max(x, box[0] + least) : Math.min(x, box[2] - least);
    box[vertical] = vertical === 3 ? Math.max(y, box[1] + least) : Math.min(y, box[3] - least);
  }
  function move(box, from, dx, dy) {
    dx = clamp(dx, -from[0], 1 - from[2]);
    dy = clamp(dy, -from[1], 1 - from[3]);
    from.forEach((v, i) => { box[i] = v + (i % 2 ? dy : dx); });
  }
  function nudge(event, j) {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    const [dx, dy] = [step[0]/gw, step[1]/gh], box = boxes[j];
    if (event.shiftKey) resize(box, [2, 3], clamp(box[2] + dx, 0, 1), clamp(box[3] + dy, 0, 1));
    else move(box, [...box], dx, dy);
    draw();
  }
  // everything again
  function draw() {
    const i = Math.floor(place[1]*gh)*gw + Math.floor(place[0]*gw), weights = math.softmax(i), outputs = sides.map(knobs => math.output(knobs, boxes));
    outputs.forEach((z, k) => paint(panels[k].canvas, z));
    boards.forEach(({shapes, cross}) => {
      shapes.forEach((shape, j) => { const [x0, y0, x1, y1] = boxes[j]; for (const [k, v] of Object.entries({x: x0, y: y0, width: x1 - x0, height: y1 - y0})) shape.setAttribute(k, v); });
      cross.setAttribute('cx', place[0]); cross.setAttribute('cy', place[1]);
    });
    panels.forEach((p, k) => { p.title.textContent = (sides.length > 1 ? 'AB'[k] + ': ' : '') + sides[k].variant; });
    const most = outputs.length > 1 ? outputs[0].reduce((worst, v, k) => Math.max(worst, Math.abs(v - outputs[1][k])), 0) : 0;
    if (difference) paint(difference.canvas, outputs[0].map((v, k) => 10*Math.abs(v - outputs[1][k])));
    const voice = math.voices(sides[0], boxes);
    reads.forEach(({canvas, title, subject}, j) => {
      const top = weights.reduce((a, b) => Math.max(a, b)), context = canvas.getContext('2d'), image = context.createImageData(facts.side, facts.side);
      for (let p = 0; p < weights.length; p++) {
        const lit = .25 + .75*weights[p]/top;
        for (let c = 0; c < 3; c++) image.data[4*p + c] = lit*parseInt(subject.rgb.substr(6*p + 2*c, 2), 16);
        image.data[4*p + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      title.textContent = `${subject.name}: × ${+((sides[0].scale ?? 1)*voice[j][i]).toFixed(2)}`;
    });
    told.textContent = sides.length > 1 ? (most < 1e-6 ? 'A and B are equal at every place.' : `A and B differ by up to ${most.toFixed(3)}.`) : facts.hint;
  }
  root.anymsToy = {math, boxes, sides, draw, difference: () => math.output(sides[0], boxes).map((v, k) => Math.abs(v - math.output(sides[1], boxes)[k]))};
  draw();
}

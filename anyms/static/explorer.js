// The explorer's page side. The same function runs live (anywidget, data on demand from the kernel) and on a static page (all data embedded).
// It holds no arithmetic of the method: it picks tiles out of sheets that Python painted, and writes every name by textContent.
function anymsExplorer(root, facts, store, ask) {
  const make = anymsMake, sheets = new Map(), waiting = new Set(), get = store.get, uid = 'a' + Math.random().toString(36).slice(2);
  let dead = false, timer = null, drawn = 0;
  root.classList.add('anyms', 'anyms-explorer');
  anymsKeys(root);
  const put = (name, value) => { const before = drawn; store.set(name, value); if (drawn === before) draw(); };  // a change has drawn already

  // controls
  function choice(name, title, options, texts, colors, tips) {
    if (options.length < 2) return null;
    if (options.length > 5) {
      const pick = make('select', {'aria-label': title, 'data-name': name, onchange: e => put(name, options[e.target.selectedIndex])},
        ...options.map((o, i) => make('option', {text: texts ? texts[i] : o})));
      pick.show = value => { pick.selectedIndex = options.indexOf(value); };
      return Object.assign(make('label', {}, make('b', {text: title}), pick), {show: pick.show});
    }
    const marks = options.map(o => make('input', {type: 'radio', name: uid + name, 'data-name': name, onchange: () => put(name, o)}));
    const set = make('fieldset', {}, make('legend', {text: title}), ...options.map((o, i) => make('label', {title: tips ? tips[i] : null},
      marks[i], colors ? make('span', {class: 'dot', style: 'background:' + colors[i]}) : null, make('span', {class: 'name', text: texts ? texts[i] : o}))));
    set.show = value => marks.forEach((m, i) => { m.checked = options[i] === value; });
    return set;
  }
  const offered = facts.choices || facts.subjects;
  const offers = texts => Object.fromEntries(facts.stats.map(s => [s, `${s}: ${texts[s] || s}`]));
  const told = offers(facts.statTexts || {});
  const choices = {
    subject: choice('subject', 'subject', offered, null, offered.map(n => facts.colors[facts.subjects.indexOf(n)])),
    stat: choice('stat', 'statistic', facts.stats, null, null, facts.stats.map(s => told[s])),
    layer: choice('layer', 'layers', facts.layers),
    color_range: choice('color_range', 'colours', facts.colorRanges, facts.colorRangeTexts),
    seed: choice('seed', 'seed', facts.seeds),
    film: choice('film', 'each step shows', facts.films || ['noisy'], facts.filmTexts),
  };
  const slider = make('input', {type: 'range', 'data-name': 'step', 'aria-label': 'step', min: 0, max: facts.steps.length - 1, step: 1,
    oninput: e => { halt(); put('step', facts.steps[+e.target.value]); }});
  const said = make('output', {'aria-live': 'polite'});
  const player = make('button', {type: 'button', 'data-name': 'play', onclick: () => { const on = !get('playing'); store.set('playing', on); run(); }});
  const alpha = make('input', {type: 'range', 'data-name': 'alpha', 'aria-label': 'strength of the heat', min: 0, max: 1, step: .05, oninput: e => put('alpha', +e.target.value)});
  const boxes = make('input', {type: 'checkbox', 'data-name': 'boxes', onchange: e => put('boxes', e.target.checked)});
  const columns = facts.variants.map(v => make('input', {type: 'checkbox', 'data-name': 'variant', value: v, onchange: () => {
    const wanted = facts.variants.filter((_, i) => columns[i].checked);
    put('variants', wanted.length ? wanted : [v]);
  }}));
  const say = make('div', {class: 'say', role: 'status'}), tables = make('div', {class: 'tables'}), meaning = make('div', {class: 'hint meaning'});
  const counted = make('div', {class: 'hint counted', text: facts.counted || ''});
  const wide = make('button', {type: 'button', 'data-name': 'projector', 'aria-pressed': 'false', onclick: () => project(!root.classList.contains('projector'))});
  const mayExport = ask ? make('fieldset', {}, make('legend', {text: 'export'}), ...[['gif', 'film (GIF)'], ['strip', 'strip (PNG)'], ['zip', 'report (ZIP)']].map(([k, text]) =>
    make('button', {type: 'button', 'data-name': 'export-' + k, text, onclick: () => { if (!dead) ask({export: k}); }}))) : null;
  const hasHeat = facts.stats.length > 0, oneStep = facts.steps.length < 2;

  // only slider and pictures, as large as the screen
  function project(on) {
    root.classList.toggle('projector', on);
    wide.textContent = on ? 'all controls' : 'projector';
    wide.title = on ? 'show all controls again' : 'hide all but slider and pictures';
    wide.setAttribute('aria-pressed', String(on));
    if (on && root.requestFullscreen) root.requestFullscreen().catch(() => {});   // refused in some frames: then it is large where it stands
    if (!on && document.fullscreenElement === root) document.exitFullscreen();
  }
  root.addEventListener('fullscreenchange', () => { if (document.fullscreenElement !== root) project(false); });

  // one figure per variant
  const size = facts.size.map(side => 2 * side);   // of a canvas; the page shows it as large as there is room
  root.style.setProperty('--aspect', String(size[0] / size[1]));
  const panels = facts.variants.map(name => {
    const picture = make('canvas', {role: 'img', 'data-kind': 'picture', width: size[0], height: size[1]});
    const heat = hasHeat ? make('canvas', {role: 'img', 'data-kind': 'heat', width: size[0], height: size[1]}) : null;
    const low = make('span'), high = make('span'), marks = make('div', {class: 'hint marks'});
    const scale = hasHeat ? make('div', {class: 'scale', 'aria-hidden': 'true'}, make('i', {style: 'background:linear-gradient(to right,' + facts.gradient.join(',') + ')'}), low, high) : null;
    return {name, picture, heat, low, high, marks, node: make('figure', {'data-variant': name}, make('figcaption', {text: name}), picture, marks, heat, scale)};
  });
  root.replaceChildren(
    make('div', {class: 'bar'}, choices.subject, choices.stat, choices.layer, choices.color_range, choices.seed, choices.film),
    facts.variants.length > 1 ? make('div', {class: 'bar'}, make('fieldset', {}, make('legend', {text: 'variants'}), ...facts.variants.map((v, i) => make('label', {}, columns[i], make('span', {class: 'name', text: v}))))) : '',
    hasHeat ? meaning : '',
    make('div', {class: 'bar steps'}, oneStep ? null : player, oneStep ? null : make('label', {class: 'wide'}, make('b', {text: 'step'}), slider), said,
      hasHeat ? make('label', {}, make('b', {text: 'heat'}), alpha) : null, make('label', {}, boxes, make('b', {text: 'boxes'})), mayExport, wide),
    make('div', {class: 'panels'}, ...panels.map(p => p.node)), tables, counted, say, ...facts.notes.map(text => make('div', {class: 'say', text})));

  // data
  const key = (...parts) => JSON.stringify(parts), film = () => ({film: key('film', get('seed'), get('film'))});
  const keys = () => !hasHeat ? film() : {heat: key('heat', get('seed'), get('stat'), get('layer'), get('color_range'), get('subject')),
    numbers: key('numbers', get('seed'), get('stat'), get('layer')), ...film()};
  function take(entries) {
    for (const [parts, entry] of entries) {
      const key = JSON.stringify(parts);
      waiting.delete(key);
      if (!entry || !entry.src) { sheets.set(key, entry || {}); continue; }
      const image = new Image();
      image.onload = () => { sheets.set(key, {...entry, image}); draw(); };
      image.src = entry.src;
    }
    draw();
  }
  function fetchMissing(wanted) {
    const missing = wanted.filter(k => !sheets.has(k) && !waiting.has(k));
    if (!missing.length || !ask || dead) return;
    missing.forEach(k => waiting.add(k));
    ask({want: missing.map(k => JSON.parse(k))});
  }

  // drawing
  function tile(context, sheet, index, smooth) {
    const {image, w, h, columns} = sheet;
    context.imageSmoothingEnabled = smooth;
    context.drawImage(image, (index % columns) * w, Math.floor(index / columns) * h, w, h, 0, 0, ...size);
  }
  function frame(context, i, wide, box = facts.boxes[i], dash = []) {
    const [x0, y0, x1, y1] = box, [W, H] = size;
    context.lineWidth = wide; context.strokeStyle = facts.colors[i]; context.setLineDash(dash);
    context.strokeRect(x0 * W + wide / 2, y0 * H + wide / 2, (x1 - x0) * W - wide, (y1 - y0) * H - wide);
    context.setLineDash([]);
  }
  function windows(context, rows, columns, part) {   // one per token, `part` of its area: what is seen through them keeps its pure colour
    const side = Math.sqrt(part), [W, H] = size, edge = (i, n, whole, at) => Math.round((i + .5 + at * side / 2) * whole / n);
    context.beginPath();
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
      const x = edge(j, columns, W, -1), y = edge(i, rows, H, -1);
      context.rect(x, y, edge(j, columns, W, 1) - x, edge(i, rows, H, 1) - y);
    }
    context.clip();
  }
  function paint(panel, v, t, found) {
    const who = facts.subjects.indexOf(get('subject')), film = found.film, heat = found.heat, at = v * facts.steps.length + t, missing = !facts.there[get('seed')][v];
    const ink = panel.picture.getContext('2d');
    if (missing) { for (const c of [panel.picture, panel.heat]) if (c) { c.getContext('2d').clearRect(0, 0, ...size); c.setAttribute('aria-label', panel.name + ': not drawn with this seed'); } return; }
    const from = ((facts.marks || {})[get('seed')] || {})[panel.name] || {};   // a full dot: from this step on it holds
    panel.marks.replaceChildren(...Object.entries(from).map(([name, step]) => make('span', {class: 'decided'},
      make('span', {class: 'dot', style: step != null && facts.steps[t] >= step ? 'background:' + facts.colors[facts.subjects.indexOf(name)] : ''}),
      name + (step == null ? ': not found' : ' from step ' + (step + 1)))));
    if (film) { tile(ink, film, at, true); if (get('boxes')) facts.boxes.forEach((_, i) => frame(ink, i, 4)); }
    panel.picture.setAttribute('aria-label', `${panel.name}: ${get('film') === 'belief' ? 'what the model believes at' : 'the picture after'} step ${facts.steps[t] + 1}`);
    if (!heat || !heat.image || !film) return;
    const under = panel.heat.getContext('2d');
    tile(under, film, at, true);
    under.globalCompositeOperation = 'saturation'; under.fillStyle = '#808080'; under.fillRect(0, 0, ...size); under.globalCompositeOperation = 'source-over';
    under.fillStyle = 'rgba(0,0,0,.4)'; under.fillRect(0, 0, ...size);   // the picture is dimmed, the heat never
    under.save(); windows(under, heat.h, heat.w, get('alpha')); tile(under, heat, at, false); under.restore();
    if (get('boxes')) { frame(under, who, 6); if (rounded(who)) frame(under, who, 4, rounded(who), [8, 8]); }
    const low = heat.low[v][t], high = heat.high[v][t], share = found.numbers && found.numbers.share && found.numbers.share[v][t][who];
    panel.low.textContent = low; panel.high.textContent = heat.flat[v][t] ? high + ' (flat)' : high;
    panel.heat.setAttribute('aria-label', `${panel.name}: ${get('stat')} of ${get('subject')} at step ${facts.steps[t] + 1}, from ${low} to ${high}` + (share == null ? '' : `, ${percent(share)} inside its box`));
  }
  const rounded = who => { const box = ((facts.rounded || {})[get('layer')] || [])[who]; return box && JSON.stringify(box) !== JSON.stringify(facts.boxes[who]) ? box : null; };
  const percent = x => x == null ? '–' : Math.round(100 * x) + '%';
  function matrix(panel, v, t, numbers) {
    const who = facts.subjects.indexOf(get('subject')), rows = numbers.leak ? facts.subjects.map((_, i) => i) : [who];
    const head = make('tr', {}, make('th', {scope: 'col', text: 'attention of'}), make('th', {scope: 'col', text: facts.heads[0]}),
      ...(numbers.leak ? [...facts.subjects, facts.heads[1]] : []).map(n => make('th', {scope: 'col', text: n, title: n})));
    const body = rows.map(i => make('tr', {}, make('th', {scope: 'row', title: facts.subjects[i]}, make('span', {class: 'dot', style: 'background:' + facts.colors[i]}), facts.subjects[i]),
      make('td', {text: percent(numbers.share[v][t][i])}),
      ...(numbers.leak ? numbers.leak[v][t][i] : []).map((x, j) => make('td', {text: percent(x), class: i === j ? 'own' : null, style: `background:rgba(0,114,178,${(x || 0) * .55})`}))));
    return make('table', {'data-variant': panel.name}, make('caption', {text: `${panel.name}: where it lies`}), make('thead', {}, head), make('tbody', {}, ...body));
  }
  function draw() {
    drawn++;
    const t = Math.max(0, facts.steps.indexOf(get('step'))), wanted = keys(), found = {};
    for (const [k, key] of Object.entries(wanted)) found[k] = sheets.get(key);
    for (const [name, c] of Object.entries(choices)) if (c) c.show(get(name));
    slider.value = t; alpha.value = get('alpha'); boxes.checked = get('boxes');
    const step = `step ${facts.steps[t] + 1} of ${facts.steps[facts.steps.length - 1] + 1}`;
    said.textContent = oneStep ? '' : step; slider.setAttribute('aria-valuetext', step);
    player.textContent = get('playing') ? '❚❚' : '▶'; player.setAttribute('aria-label', get('playing') ? 'stop' : 'play the steps');
    const shown = get('variants');
    panels.forEach((p, v) => { const on = shown.includes(p.name); columns[v].checked = on; p.node.hidden = !on; p.node.style.display = on ? '' : 'none'; if (on) paint(p, v, t, found); });
    const numbers = found.numbers;
    meaning.textContent = told[get('stat')] || '';
    counted.hidden = !(numbers && numbers.share);
    root.style.setProperty('--columns', String(shown.length));
    tables.replaceChildren(...(numbers && numbers.share ? panels.map((p, v) => shown.includes(p.name) && facts.there[get('seed')][v] ? matrix(p, v, t, numbers) : null).filter(Boolean) : []));
    const missing = Object.values(wanted).filter(k => !sheets.has(k));
    root.dataset.ready = missing.length ? 'no' : 'yes';
    say.classList.toggle('bad', dead || !!get('error'));
    say.textContent = get('error') || (dead ? (missing.length ? 'This choice is not on the page yet, and its kernel is gone: run the cell again, or go back.'
      : 'The kernel of this explorer is gone. What has been shown stays at hand; for the rest run the cell again.') : (numbers && numbers.say) || '');
    fetchMissing(Object.values(wanted));
  }
  function halt() { if (get('playing')) { store.set('playing', false); run(); } }
  function run() {
    clearInterval(timer); timer = null;
    if (get('playing')) timer = setInterval(() => {
      if (!root.isConnected) return clearInterval(timer);
      const t = facts.steps.indexOf(get('step'));
      put('step', facts.steps[(t + 1) % facts.steps.length]);
    }, facts.pace);
    draw();
  }
  store.watch(name => name === 'playing' ? run() : draw());
  project(false);
  run();
  return {take, lost() { dead = true; draw(); }, stop() { clearInterval(timer); }};
}

// live: traits are the state, custom messages bring the sheets
const anymsLiveExplorer = {render({model, el}) {
  const names = ['subject', 'stat', 'layer', 'step', 'color_range', 'film', 'alpha', 'boxes', 'seed', 'variants', 'playing', 'error'];
  const heard = [], on = (event, f) => { model.on(event, f); heard.push([event, f]); };
  const store = {get: n => model.get(n), set: (n, v) => { model.set(n, v); model.save_changes(); }, watch: f => names.forEach(n => on('change:' + n, () => f(n)))};
  const root = anymsMake('div');
  el.append(root);
  const view = anymsExplorer(root, model.get('facts'), store, message => model.send(message));
  on('msg:custom', message => {
    if (message.sheets) view.take(message.sheets);
    if (message.file) anymsMake('a', {href: message.file, download: message.name}).click();
  });
  on('comm_live_update', () => view.lost());
  return () => { view.stop(); heard.forEach(([event, f]) => model.off(event, f)); };
}};

// static: everything is embedded in the page
function anymsStaticExplorer(root, facts, state, sheets) {
  const watchers = [], store = {get: n => state[n], set: (n, v) => { state[n] = v; watchers.forEach(f => f(n)); }, watch: f => watchers.push(f)};
  anymsExplorer(root, facts, store, null).take(sheets);
}

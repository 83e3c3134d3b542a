// The vote's page side. The same function runs live (anywidget, answers kept by the kernel) and in the offline twin (kept by the browser).
// `port` keeps the state: port.state() gives it, port.send(message) changes it, port.watch(f) hears of changes. Nothing here knows a method.
function anymsStudy(root, facts, port) {
  const make = anymsMake, uid = 's' + Math.random().toString(36).slice(2), drafts = {};
  const letters = 'ABCDEFGHI', names = Object.keys(facts.criteria);
  let since = 0, shown = '', waiting = false;  // for the answer to what was sent: keys pressed meanwhile are nobody's
  root.classList.add('anyms', 'anyms-study');
  anymsKeys(root);
  const stage = make('div', {class: 'stage', tabindex: '-1'});
  const say = make('div', {class: 'say', role: 'status', 'aria-live': 'polite'});
  const large = make('dialog', {class: 'large'});
  root.append(make('h2', {text: facts.title}), stage, say, large);
  const tell = (words, bad) => { say.textContent = words; say.classList.toggle('bad', !!bad); };
  const button = (name, text, onclick, more) => make('button', {type: 'button', 'data-name': name, text, onclick, ...more});

  function enlarge(src, alt) {
    large.replaceChildren(make('img', {src, alt}), button('close', 'close (Esc)', () => large.close()));
    large.showModal();
  }

  function consent() {
    const agree = make('input', {type: 'checkbox', 'data-name': 'agree'});
    const code = make('input', {type: 'text', 'data-name': 'code', size: 8, maxlength: 12, autocomplete: 'off', spellcheck: false});
    const agreed = f => () => agree.checked ? f() : tell('Tick the box first: without your consent nothing begins.', true);
    const resume = agreed(() => port.send({resume: code.value}));
    code.addEventListener('keydown', e => { if (e.key === 'Enter') resume(); });
    return [make('p', {class: 'consent', text: facts.consent}),
      make('p', {}, make('label', {}, agree, make('span', {text: 'I have read this, and I take part.'}))),
      make('p', {class: 'bar'}, button('begin', 'Begin', agreed(() => port.send({begin: true}))),
        make('label', {}, make('b', {text: 'or go on with your code'}), code), button('resume', 'Go on', resume))];
  }

  function subject(one) {
    return make('figure', {}, make('img', {src: one.picture, alt: 'reference: ' + one.name}),
      make('figcaption', {}, make('span', {class: 'dot', style: 'background:' + one.color}), make('span', {class: 'name', text: one.name})));
  }

  function question(name, view, picks, check) {
    const boxes = view.tiles.map((_, i) => make('input', {type: 'checkbox', 'data-name': name, 'data-place': i,
      'aria-label': 'picture ' + letters[i] + ': ' + facts.criteria[name], onchange: e => check(name, i, e.target)}));
    boxes.forEach((box, i) => { box.checked = picks[name].includes(i); });
    return make('fieldset', {'data-criterion': name}, make('legend', {}, make('b', {text: name}), make('span', {text: facts.criteria[name]})),
      ...boxes.map((box, i) => make('label', {}, box, make('span', {text: letters[i]}))));
  }

  function vote(view) {
    const picks = drafts[view.screen] = drafts[view.screen] || Object.fromEntries(names.map(n => [n, [...(view.picks[n] || [])]]));
    const open = () => names.filter(n => !picks[n].length);
    const next = button('next', view.number === view.count ? 'Finish' : 'Next', () => {
      if (waiting) return;
      if (open().length) return tell('Still open: ' + open().join(', ') + '. Pick one or two pictures for each question.', true);
      waiting = true;
      port.send({answer: {number: view.number - 1, picks, seconds: (performance.now() - since)/1000}});
    });
    const mark = () => next.setAttribute('aria-disabled', open().length ? 'true' : 'false');
    function check(name, i, box) {
      const at = picks[name].indexOf(i);
      if (waiting) { box.checked = at >= 0; return; }
      if (at >= 0) picks[name].splice(at, 1);
      else if (picks[name].length >= facts.picks) {
        box.checked = false;
        return tell(name + ': you have picked ' + picks[name].map(k => letters[k]).join(' and ') + '. Two is the most: take one back first.', true);
      }
      else picks[name].push(i);
      box.checked = at < 0;
      tell(picks[name].length ? name + ': ' + picks[name].map(k => letters[k]).join(' and ') : name + ': none yet');
      mark();
    }
    const questions = names.map(n => question(n, view, picks, check));
    const inside = () => questions.findIndex(q => q.contains(root.getRootNode().activeElement));
    const current = () => inside() >= 0 ? inside() : Math.max(0, names.findIndex(n => !picks[n].length));
    const focusOn = q => questions[q].querySelector('input').focus();
    const tiles = view.tiles.map((src, i) => make('figure', {class: 'tile'}, make('figcaption', {text: letters[i]}),
      make('img', {src, alt: 'picture ' + letters[i]}),
      button('enlarge', 'enlarge', () => enlarge(src, 'picture ' + letters[i] + ', enlarged'), {'aria-label': 'enlarge picture ' + letters[i]})));
    const body = make('div', {class: 'vote'},
      make('p', {class: 'bar'}, make('b', {text: 'Case ' + view.number + ' of ' + view.count}),
        make('progress', {max: view.count, value: view.done, 'aria-label': view.done + ' of ' + view.count + ' cases answered'}),
        make('span', {}, 'your code: ', make('b', {class: 'code', 'data-name': 'own-code', text: view.code})),
        make('span', {class: 'hint', text: 'typed again, it brings you back here'})),
      make('p', {class: 'prompt', text: '“' + view.prompt + '”'}),
      make('div', {class: 'given', role: 'group', 'aria-label': 'what was given'}, ...view.subjects.map(subject),
        make('figure', {}, make('img', {src: view.layout, alt: 'where everything should be: ' + view.subjects.map(s => s.name).join(', ')}),
          make('figcaption', {text: 'boxes'}))),
      make('div', {class: 'tiles', role: 'group', 'aria-label': 'the pictures'}, ...tiles), ...questions,
      make('p', {class: 'bar'}, button('back', 'Back', () => port.send({back: view.number - 1}), {disabled: view.number === 1}), next,
        make('span', {class: 'hint', text: 'Keys: 1 to ' + view.tiles.length + ' pick, Enter goes to the next question and then to the next case.'})));
    body.addEventListener('keydown', e => {
      if (e.ctrlKey || e.altKey || e.metaKey) return;
      const i = /^[1-9]$/.test(e.key) ? +e.key - 1 : -1;
      if (i >= 0 && i < view.tiles.length) {
        const q = current(), box = questions[q].querySelectorAll('input')[i];
        e.preventDefault();
        box.focus();
        check(names[q], i, box);
      }
      if (e.key === 'Enter' && e.target.type === 'checkbox') {
        e.preventDefault();
        const q = inside(), later = names.findIndex((n, k) => k > q && !picks[n].length);
        if (!open().length) return next.click();
        if (!picks[names[q]].length) return tell(names[q] + ': pick one or two pictures first.', true);
        focusOn(later >= 0 ? later : names.findIndex(n => !picks[n].length));
      }
    });
    mark();
    body.start = () => focusOn(0);
    return body;
  }

  function thanks(state) {
    return [make('p', {class: 'thanks', text: 'Thank you: all cases are answered.'}),
      make('p', {}, 'Your code was ', make('b', {class: 'code', 'data-name': 'own-code', text: state.code}), '.'),
      make('p', {class: 'bar'}, button('back', 'Back', () => port.send({back: state.count})), port.download ? button('download', 'Download your answers', port.download) : null,
        button('leave', 'Next person', () => port.send({leave: true})))];
  }

  function draw() {
    waiting = false;
    const state = port.state(), now = state.stage + '|' + state.code + '|' + (state.view.screen || '');
    if (now !== shown) {
      const was = shown;
      shown = now;
      since = performance.now();
      if (state.stage === 'consent') Object.keys(drafts).forEach(k => delete drafts[k]);
      const parts = state.stage === 'consent' ? consent() : state.stage === 'vote' ? [vote(state.view)] : thanks(state);
      stage.replaceChildren(...parts);
      root.dataset.stage = state.stage;
      root.dataset.screen = state.stage === 'vote' ? state.view.number : '';
      tell('');
      if (parts[0].start) parts[0].start();
      else if (was) stage.focus();
      if (was) root.scrollIntoView({block: 'nearest'});
    }
    if (state.error) tell(state.error, true);
  }
  port.watch(draw);
  draw();
}

// live: the kernel keeps the votes; pictures come as bytes and get an address that says nothing
const anymsLiveStudy = {render({model, el}) {
  const root = anymsMake('div'), heard = [], on = (event, f) => { model.on(event, f); heard.push([event, f]); };
  let urls = [];
  const url = bytes => { urls.push(URL.createObjectURL(new Blob([bytes]))); return urls[urls.length - 1]; };
  function withUrls(view) {
    urls.forEach(old => URL.revokeObjectURL(old));
    urls = [];
    if (!view.screen) return view;
    return {...view, tiles: view.tiles.map(url), layout: url(view.layout), subjects: view.subjects.map(s => ({...s, picture: url(s.picture)}))};
  }
  let view = withUrls(model.get('view')), last = model.get('view');
  const port = {
    state() {
      if (model.get('view') !== last) view = withUrls(last = model.get('view'));
      return {stage: model.get('stage'), code: model.get('code'), error: model.get('error'), count: model.get('facts').count, view};
    },
    send: message => model.send(message),
    watch: f => ['change:turn', 'change:error'].forEach(event => on(event, f))};
  el.append(root);
  anymsStudy(root, model.get('facts'), port);
  on('comm_live_update', () => { if (!model.comm_live) root.querySelector('.say').textContent = 'The connection is lost. Load the page again and type your code.'; });
  return () => { heard.forEach(([event, f]) => model.off(event, f)); urls.forEach(old => URL.revokeObjectURL(old)); };
}};

// the same order as in Python: FNV-1a, finished as MurmurHash3 finishes (anyms.paper.study.ballot.mix_hash)
function anymsHash(...parts) {
  let h = 2166136261;
  for (const byte of new TextEncoder().encode(parts.join('|'))) h = Math.imul(h ^ byte, 16777619);
  h = Math.imul(h ^ h >>> 16, 0x85EBCA6B);
  h = Math.imul(h ^ h >>> 13, 0xC2B2AE35);
  return (h ^ h >>> 16) >>> 0;
}
function anymsShuffled(items, ...key) {
  const order = (a, b) => a < b ? -1 : a > b ? 1 : 0;
  return items.map(item => [anymsHash(...key, item), item]).sort((a, b) => order(a[0], b[0]) || order(a[1], b[1])).map(pair => pair[1]);
}
function anymsBallot(facts, code) {
  const cases = Object.fromEntries(facts.cases.map(one => [one.id, one]));
  const screen = (one, again) => {
    const name = again ? one.id + ' again' : one.id;
    const noise = anymsShuffled(Object.keys(one.sets), facts.seed, code, one.id, 'noise')[0];
    return {name, case: one.id, kind: again ? 'repeat' : one.kind, tiles: anymsShuffled(one.sets[noise], facts.seed, code, name)};
  };
  const order = anymsShuffled(Object.keys(cases), facts.seed, code, 'cases').map(id => cases[id]);
  return [...order.map(one => screen(one, false)), screen(order.find(one => one.kind === 'case'), true)];
}

// still: the browser keeps the answers until they are downloaded
function anymsStillStudy(root, facts) {
  const memory = {};
  const store = {get: k => { try { return localStorage.getItem(k); } catch (e) { return memory[k] || null; } },
    set: (k, v) => { memory[k] = v; try { localStorage.setItem(k, v); } catch (e) { /* a browser that keeps nothing: until the page is closed */ } }};
  const key = code => 'anyms-study-' + facts.study + '-' + code;
  const state = {stage: 'consent', code: '', error: '', view: {}, count: facts.count};
  let watcher = () => {}, voter = null;
  const keep = () => store.set(key(voter.voter), JSON.stringify(voter));
  function show(i) {
    state.error = '';
    if (i >= voter.screens.length) { Object.assign(state, {stage: 'thanks', view: {}}); return watcher(); }
    const screen = voter.screens[i], one = facts.cases.find(c => c.id === screen.case), given = voter.answers.filter(a => a.screen === screen.name).pop();
    state.stage = 'vote';
    state.view = {screen: screen.name, number: i + 1, count: voter.screens.length, done: new Set(voter.answers.map(a => a.screen)).size, code: voter.voter,
      prompt: one.prompt, subjects: one.subjects, layout: one.layout, tiles: screen.tiles.map(t => facts.pictures[t]), picks: given ? given.picks : {}};
    watcher();
  }
  const open = () => { const i = voter.screens.findIndex(s => !voter.answers.some(a => a.screen === s.name)); return i < 0 ? voter.screens.length : i; };
  const actions = {
    begin() {
      const code = Array.from(crypto.getRandomValues(new Uint32Array(6)), x => facts.alphabet[x % facts.alphabet.length]).join('');
      voter = {anyms_votes: 1, study: facts.study, voter: code, screens: anymsBallot(facts, code), answers: []};
      state.code = code;
      keep();
      show(0);
    },
    resume(text) {
      const code = text.replace(/[\s-]/g, '').toUpperCase(), found = store.get(key(code));
      if (!found) { state.error = 'In this browser nobody has voted as ' + (code.slice(0, 12) || '(nothing)') + ': look at the code again, or begin anew.'; return watcher(); }
      voter = JSON.parse(found);
      state.code = code;
      show(open());
    },
    answer({number, picks, seconds}) {
      const copy = Object.fromEntries(Object.entries(picks).map(([n, p]) => [n, [...p].sort()]));
      voter.answers.push({screen: voter.screens[number].name, picks: copy, seconds: Math.round(10*Math.min(seconds, 86400))/10});
      keep();
      show(number + 1);
    },
    back: number => show(Math.max(0, number - 1)),
    leave() { voter = null; Object.assign(state, {stage: 'consent', code: '', error: '', view: {}}); watcher(); }};
  const port = {state: () => state, watch: f => { watcher = f; },
    send: message => { const [[what, value]] = Object.entries(message); actions[what](value); },
    download() {
      const file = new Blob([JSON.stringify(voter)], {type: 'application/json'});
      const a = anymsMake('a', {href: URL.createObjectURL(file), download: 'votes-' + voter.voter + '.json'});
      a.click();
      setTimeout(() => URL.revokeObjectURL(a.href), 1000);
    }};
  anymsStudy(root, facts, port);
}

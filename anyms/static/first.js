// The first page: a stored picture to look at while Python starts, and the live app beside it, in a frame of its own, as soon as there is one.
function anymsFirst() {
  const find = id => document.getElementById(id), stored = find('stored'), told = find('told'), choices = {stored: find('to-stored'), live: find('to-live')};
  const began = Date.now();
  let frame = null, touched = false, ready = false, ended = 0;

  function show(which) {                    // the other one stays as it is, and where it is
    stored.hidden = which !== 'stored';
    if (frame) frame.classList.toggle('behind', which !== 'live');
    for (const [name, button] of Object.entries(choices)) button.setAttribute('aria-pressed', name === which);
    if (which === 'live') { choices.live.classList.remove('calls'); if (ready) told.textContent = ''; }
  }
  choices.stored.addEventListener('click', () => show('stored'));
  choices.live.addEventListener('click', () => show('live'));
  for (const event of ['pointerdown', 'keydown', 'wheel']) stored.addEventListener(event, () => { touched = true; }, {passive: true});
  stored.addEventListener('pointermove', e => { if (e.target.tagName === 'CANVAS') touched = true; });

  const answers = async () => { try { return await (await fetch('anyms/ready', {cache: 'no-store'})).text() === 'yes'; } catch { ended += 1; return false; } };
  function open() {
    frame = document.createElement('iframe');
    frame.title = 'your own picture'; frame.className = 'behind'; frame.src = 'app';
    document.body.append(frame);
    choices.live.disabled = false;
  }
  function drawn() {                        // does the app show its cells, and if there is a board, its boxes or stickers?
    const page = frame.contentDocument, cells = page && page.getElementById('rendered_cells');
    if (!cells || cells.style.display === 'none' || page.getElementById('loading')) return false;
    return Boolean(page.querySelector('.anyms-editor g.box, .anyms-editor .tile')) || Date.now() - shown() > 4000;
  }
  let first = 0;
  const shown = () => first = first || Date.now();
  function arrive() {
    ready = true;
    document.documentElement.dataset.live = ((Date.now() - began)/1000).toFixed(1);
    told.textContent = 'Your own picture is ready.';
    if (touched) choices.live.classList.add('calls'); else show('live');
  }
  async function watch() {
    if (!frame && await answers()) open();
    if (frame && drawn()) return arrive();
    const seconds = Math.round((Date.now() - began)/1000);
    told.textContent = ended > 40 ? 'The server has ended: start anyms explore again. What you see here still works.'
      : seconds > 90 ? 'This takes long; what stands in the terminal may say why.' : `The model is loading, ${seconds} s …`;
    setTimeout(watch, 250);
  }
  show('stored');
  watch();
}
anymsFirst();

// The table that fills while a class votes: asks the kernel every two seconds, and stops when the page is gone.
const anymsClassroom = {render({model, el}) {
  const make = anymsMake, root = make('div', {class: 'anyms anyms-classroom'});
  const words = make('b', {role: 'status'}), notes = make('div', {class: 'say bad'}), image = make('img', {alt: 'share of picks for each method and question'});
  const names = make('input', {type: 'checkbox', 'data-name': 'names', onchange: () => { model.set('names', names.checked); model.save_changes(); }});
  const heard = [], on = (event, f) => { model.on(event, f); heard.push([event, f]); };
  let url = '';
  image.style.maxWidth = '100%';
  anymsKeys(root);
  root.append(make('p', {class: 'bar'}, words, make('label', {}, names, make('span', {text: 'show the names'}))), image, notes);
  el.append(root);
  function draw() {
    words.textContent = model.get('words');
    notes.textContent = model.get('notes');
    names.checked = model.get('names');
    const bytes = model.get('picture');
    if (url) URL.revokeObjectURL(url);
    image.hidden = !bytes || !bytes.byteLength;
    image.src = url = image.hidden ? '' : URL.createObjectURL(new Blob([bytes], {type: 'image/png'}));
  }
  ['words', 'notes', 'names', 'picture'].forEach(name => on('change:' + name, draw));
  draw();
  const timer = setInterval(() => model.send({poll: true}), 2000);
  return () => { clearInterval(timer); heard.forEach(([event, f]) => model.off(event, f)); if (url) URL.revokeObjectURL(url); };
}};

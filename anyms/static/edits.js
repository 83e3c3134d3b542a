// What the page has changed and Python has not heard of yet. Only what was touched is told, in order with everything else the page says,
// and an answer to an older state never undoes it: fields carry the number of the change that touched them last.
function anymsEdits(model, on, follow) {
  const page = Math.random().toString(36).slice(2), marks = new Map();   // id -> {field: number}; 'new' and 'gone' are fields too
  const copied = boxes => boxes.map(b => ({...b, box: [...b.box]})), same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const heard = () => model.get('heard')[page] || 0;
  let number = 0, sent = 0, gesture = Math.floor(1e9 * Math.random()), now = copied(model.get('boxes'));

  function mark(id, field) { marks.set(id, {...marks.get(id), [field]: number}); }
  function put(boxes) {                     // what the reader sees from now on
    number += 1;
    const before = new Map(now.map(b => [b.id, b])), after = new Set(boxes.map(b => b.id));
    for (const b of boxes) {
      const old = before.get(b.id);
      if (!old) mark(b.id, 'new');
      for (const field in b) if (field !== 'id' && !(old && same(old[field], b[field]))) mark(b.id, field);
    }
    for (const b of now) if (!after.has(b.id)) mark(b.id, 'gone');
    now = copied(boxes);
    follow();
  }
  function change([id, touched]) {          // for Python: values with their numbers
    const box = now.find(b => b.id === id), {new: fresh, gone, ...fields} = touched;
    const values = box ? Object.entries(fields).map(([field, n]) => [field, [box[field], n]]) : [];
    return {id, new: fresh || 0, gone: (!box && gone) || 0, fields: Object.fromEntries(values)};
  }
  function tell() {
    sent = number;
    model.send({edit: {page, number, gesture, changes: [...marks].map(change)}});
  }
  const save = () => { if (number > sent && heard() >= sent) tell(); };   // one is on its way at most: a drag of a hundred changes is a few
  function send(message, buffers) {         // whatever else is said comes after the changes before it
    if (number > sent) tell();
    model.send(message, undefined, buffers);
  }

  function forget() {                       // what was heard needs no mark
    for (const [id, touched] of marks) {
      const left = Object.entries(touched).filter(([, n]) => n > heard());
      if (left.length) marks.set(id, Object.fromEntries(left)); else marks.delete(id);
    }
  }
  function merged(told) {                   // what Python says, with what it cannot know yet
    const mine = new Map(now.map(b => [b.id, b])), ids = new Set(told.map(b => b.id));
    const kept = told.filter(b => mine.has(b.id) || !(marks.get(b.id) || {}).gone).map(b => {
      const touched = Object.keys(marks.get(b.id) || {}).filter(f => mine.has(b.id) && f in mine.get(b.id));
      return {...b, ...Object.fromEntries(touched.map(f => [f, mine.get(b.id)[f]]))};
    });
    return [...kept, ...now.filter(b => !ids.has(b.id) && (marks.get(b.id) || {}).new)];
  }
  on('change:heard', () => { forget(); save(); });
  on('change:revision', () => { forget(); now = copied(merged(model.get('boxes'))); follow(); });
  return {boxes: () => now, put, save, send, begin: () => { gesture += 1; }};
}

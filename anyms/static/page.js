// What all widgets' page sides share: making elements, and keys that stay theirs.
function anymsMake(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {})) {
    if (k === 'text') node.textContent = v;
    else if (k.startsWith('on')) node.addEventListener(k.slice(2), v);
    else if (v !== false && v != null) node.setAttribute(k, v === true ? '' : v);
  }
  node.append(...children.filter(c => c != null));
  return node;
}

// Keys pressed in a widget are the widget's: the notebook around it must not take arrows and Enter for its own. Ctrl, Alt and Cmd still go through.
function anymsKeys(root) {
  root.setAttribute('data-lm-suppress-shortcuts', 'true');
  root.addEventListener('keydown', e => { if (!(e.ctrlKey || e.altKey || e.metaKey)) e.stopPropagation(); });
}

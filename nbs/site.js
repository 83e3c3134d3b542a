// What the site adds to smalldocs's pages: menus that open, code that is opened by a link to it, a search with an order, and scrolling by keyboard.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = (document.querySelector('meta[name="smalldocs:offset"]') || { content: "./" }).content;

  // ---- menus: the sidebar's sections and the navigation bar on a telephone
  const collapse = (button) => {
    const target = document.querySelector(button.dataset.bsTarget);
    if (!target) return;
    const open = target.classList.toggle("show");
    all(`[data-bs-target="${button.dataset.bsTarget}"]`).forEach((b) => {
      b.classList.toggle("collapsed", !open);
      if (b.hasAttribute("aria-expanded")) b.setAttribute("aria-expanded", String(open));
    });
  };
  all('[data-bs-toggle="collapse"]').forEach((b) => b.addEventListener("click", () => collapse(b)));
  // A floor has a dozen rooms: the tutorials and the section of this page are open, the others wait to be opened.
  all("#quarto-sidebar a[role=button]").slice(1).forEach((b) => {
    const menu = document.getElementById(b.getAttribute("aria-controls"));
    if (menu && !menu.querySelector(".active")) collapse(b);
  });
  document.addEventListener("keydown", (e) => {
    const button = e.target.closest && e.target.closest('a[role="button"]');
    if (!button || !(e.key === " " || (e.key === "Enter" && !button.hasAttribute("href")))) return;
    e.preventDefault();
    button.click();
  });

  // ---- a link to a name opens the code that defines it; a link into a fold opens the fold
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const mark = target.closest(".anyms-exported");
    const fold = mark ? mark.nextElementSibling && mark.nextElementSibling.querySelector("details") : target.closest("details");
    if (!fold) return;
    fold.open = true;
    target.scrollIntoView();
  };
  window.addEventListener("hashchange", reveal);
  window.addEventListener("load", reveal);            // pictures above have their size now
  reveal();

  // ---- code in colours; done here because the marks would be a third of a page
  const python = new RegExp([
    /(?<co>#[^\n]*)/, /(?<st>(?<!\w)[rbfuRBFU]{0,2}(?:"""[^]*?"""|'''[^]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))/, /(?<fu>(?<=\b(?:def|class)\s+)\w+)/,
    /(?<kw>\b(?:and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield)\b)/,
    /(?<cn>\b(?:None|True|False|self|cls)\b)/, /(?<dv>(?<![\w.])(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/,
  ].map((r) => r.source).join("|"), "g");
  const colour = (code) => {
    const text = code.textContent, pieces = [];
    let at = 0;
    for (const m of text.matchAll(python)) {
      const kind = Object.keys(m.groups).find((k) => m.groups[k] !== undefined), mark = document.createElement("span");
      mark.className = kind;
      mark.textContent = m[0];
      pieces.push(text.slice(at, m.index), mark);
      at = m.index + m[0].length;
    }
    code.replaceChildren(...pieces, text.slice(at));
  };
  all("main code.python").forEach(colour);

  // ---- what is wider than its column can be reached, and scrolled, by keyboard
  const boxes = all("main pre, main .sd-table, main .cell-output, main .anyms-display");
  const reach = () => boxes.forEach((box) => {
    if (box.scrollWidth <= box.clientWidth + 1) { box.removeAttribute("tabindex"); return; }
    box.tabIndex = 0;
    if (!box.hasAttribute("role")) box.setAttribute("role", "group");
    if (!box.hasAttribute("aria-label")) box.setAttribute("aria-label", "wider than its column: scrolls");
  });
  reach();
  window.addEventListener("resize", reach);
  window.addEventListener("load", reach);
  all("main details").forEach((d) => d.addEventListener("toggle", reach));

  // ---- search: every word must be there; headings count more than text, whole words more than beginnings, and a page has a weight (search.json)
  const words = (text) => (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) || []);
  const distance = (a, b) => {                        // edits that make one word of the other
    let row = [...Array(b.length + 1).keys()];
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1]));
      row = next;
    }
    return row[b.length];
  };
  const alike = (a, b) => 1 - distance(a, b) / Math.max(a.length, b.length);
  const prepare = (entries) => {
    const known = new Set();
    entries.forEach((e) => {
      e.parts = [[words(e.section || e.title), 10], [e.section ? words(e.title) : [], 4], [words(e.text), 1]];
      e.parts.forEach(([list]) => list.forEach((w) => known.add(w)));
    });
    return { entries, known: [...known] };
  };
  const value = (entry, asked) => entry.parts.reduce((sum, [list, weight]) => {
    const whole = list.filter((w) => w === asked || w === asked + "s").length;
    const begun = whole ? 0 : list.filter((w) => w.startsWith(asked)).length;
    return sum + weight * (2 * Math.min(whole, 3) + Math.min(begun, 1)) / (1 + list.length / 400);
  }, 0);
  const find = ({ entries, known }, text, limit) => {
    const asked = words(text).map((w) => {
      if (w.length < 4 || known.some((k) => k.startsWith(w))) return [w];
      return known.filter((k) => alike(w, k) >= .8);   // a slip of the finger, and no more than one letter in five
    });
    if (!asked.length || asked.some((a) => !a.length)) return [];
    const scored = entries.map((e) => {
      const values = asked.map((a) => Math.max(...a.map((w) => value(e, w))));
      const together = e.text.toLowerCase().includes(text.toLowerCase()) || (e.section || e.title).toLowerCase().includes(text.toLowerCase());
      return [values.every((v) => v > 0) ? values.reduce((a, b) => a + b) * (together ? 1.5 : 1) * (e.weight || 1) : 0, e];
    });
    return scored.filter(([s]) => s > 0).sort((a, b) => b[0] - a[0]).slice(0, limit).map(([, e]) => e);
  };

  let index = null;
  const load = async () => {
    if (index) return;
    try { index = prepare(await (await fetch(root + "search.json")).json()); } catch (e) { index = prepare([]); }
  };
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const snippet = (text, asked) => {                  // the place in the text, with what was asked for in <mark>
    const escaped = words(asked).map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const pattern = new RegExp(`(${escaped.join("|")})`, "i");
    const at = Math.max(0, text.search(pattern) - 60);
    const node = make("div", "search-result-text", at ? "…" : "");
    text.slice(at, at + 200).split(new RegExp(pattern, "ig")).forEach((piece, i) => node.append(i % 2 ? make("mark", "", piece) : piece));
    return node;
  };

  all(".smalldocs-search").forEach((box, which) => {
    const old = box.querySelector("input"), results = box.querySelector(".smalldocs-search-results");
    if (!old || !results) return;
    const input = old.cloneNode();                    // without smalldocs's own search behind it
    old.replaceWith(input);
    results.id = `anyms-found-${which}`;
    results.setAttribute("role", "listbox");
    results.setAttribute("aria-label", "Found");
    Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": results.id, "aria-autocomplete": "list" }).forEach(([k, v]) => input.setAttribute(k, v));
    let active = -1;
    const items = () => all(".search-result", results);
    const show = (open) => { results.classList.toggle("show", open); input.setAttribute("aria-expanded", String(open)); };
    const forget = () => { active = -1; input.removeAttribute("aria-activedescendant"); };
    const choose = (n) => {
      const list = items();
      active = (n + list.length) % list.length;
      list.forEach((item, i) => { item.classList.toggle("active", i === active); item.setAttribute("aria-selected", String(i === active)); });
      input.setAttribute("aria-activedescendant", list[active].id);
      list[active].scrollIntoView({ block: "nearest" });
    };
    const entry = (e, i, asked) => {
      const item = make("a", "search-result");
      item.href = root + e.href;
      item.id = `${results.id}-${i}`;
      item.setAttribute("role", "option");
      item.append(make("div", "search-result-title", e.section || e.title));
      if (e.section) item.append(make("div", "search-result-section", e.title));
      item.append(snippet(e.text, asked));
      return item;
    };
    const run = async () => {
      const asked = input.value.trim();
      if (asked.length < 2) { show(false); return; }
      await load();
      const found = find(index, asked, 20);
      results.replaceChildren(...(found.length ? found.map((e, i) => entry(e, i, asked)) : [make("div", "search-none", "Nothing found")]));
      forget();
      show(true);
    };
    let timer = null;
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(run, 120); });
    input.addEventListener("focus", load);
    input.addEventListener("keydown", (e) => {
      if (e.key === "Escape") { show(false); return; }
      if (!items().length || !results.classList.contains("show")) return;
      if (e.key === "ArrowDown") choose(active + 1);
      else if (e.key === "ArrowUp") choose(active < 0 ? -1 : active - 1);
      else if (e.key === "Enter") items()[Math.max(active, 0)].click();
      else return;
      e.preventDefault();
    });
    document.addEventListener("click", (e) => { if (!box.contains(e.target)) show(false); });
  });
})();

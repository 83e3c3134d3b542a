"Trims the drawings of rasterise.mjs to what is visible and packs one sheet per set: python pack.py IN OUT"
import json, sys
from pathlib import Path
from PIL import Image

CELL, COLUMNS = 96, 12
src, out = map(Path, sys.argv[1:])
order = [line.split(":")[0] for line in (Path(__file__).parent/"nouns.txt").read_text().splitlines() if line and line[0] != "#"]
found = json.loads((src/"found.json").read_text())
sprites, seen = [], {}
for f in sorted(found, key=lambda f: (f["set"], order.index(f["noun"]))):
    drawing = Image.open(src/f'{f["set"]}.{f["noun"]}.png').convert("RGBA")
    drawing = drawing.crop(drawing.getchannel("A").point(lambda a: 255*(a > 12)).getbbox())
    scale = CELL/max(drawing.size)
    drawing = drawing.resize([max(1, round(side*scale)) for side in drawing.size], Image.LANCZOS)
    i = len(seen.setdefault(f["set"], []))
    seen[f["set"]].append(drawing)
    sprites.append(dict(noun=f["noun"], drawing=f["set"], icon=f["icon"], x=i%COLUMNS*CELL, y=i//COLUMNS*CELL,
        w=drawing.width, h=drawing.height))
for name, drawings in seen.items():
    sheet = Image.new("RGBA", (CELL*COLUMNS, CELL*-(-len(drawings)//COLUMNS)))
    for i, d in enumerate(drawings): sheet.paste(d, (i%COLUMNS*CELL, i//COLUMNS*CELL))
    sheet.save(out/f"{name}.webp", quality=88, method=6, exact=False)
versions = {f["set"]: f["version"] for f in found}
(out/"sprites.json").write_text(json.dumps(dict(cell=CELL, versions=versions, sprites=sprites),
    separators=(",", ":")).replace("},{", "},\n{"))
print(len(sprites), "sprites", {n: len(d) for n, d in seen.items()})

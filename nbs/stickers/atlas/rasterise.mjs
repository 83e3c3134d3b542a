// Draws the icons that nouns.txt names, from the six npm packages, as PNG files of 192 px: node rasterise.mjs OUT
// Needs: npm install @resvg/resvg-js @iconify-json/{fluent-emoji,fluent-emoji-flat,noto,fxemoji,twemoji,emojione}
import fs from 'node:fs'
import { createRequire } from 'node:module'
const require = createRequire(process.cwd() + '/')
const { Resvg } = require('@resvg/resvg-js')
const SETS = ['fluent-emoji', 'fluent-emoji-flat', 'noto', 'twemoji', 'emojione', 'fxemoji']
const out = process.argv[2]
const nouns = fs.readFileSync(new URL('nouns.txt', import.meta.url), 'utf8').split('\n').filter(l => l && l[0] !== '#')
  .map(l => { const [noun, ids] = l.split(': '); return [noun, ids.split(' ')] })
fs.mkdirSync(out, { recursive: true })
const found = []
for (const set of SETS) {
  const d = require(`@iconify-json/${set}/icons.json`)
  const version = require(`@iconify-json/${set}/package.json`).version
  for (const [noun, ids] of nouns) {
    const alias = id => d.icons[id] ? id : d.aliases?.[id]?.parent
    const id = ids.map(alias).find(i => i && d.icons[i])
    if (!id) continue
    const i = d.icons[id], w = i.width ?? d.width ?? 16, h = i.height ?? d.height ?? 16
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="${i.left ?? 0} ${i.top ?? 0} ${w} ${h}">${i.body}</svg>`
    fs.writeFileSync(`${out}/${set}.${noun}.png`, new Resvg(svg, { fitTo: { mode: 'width', value: 192 } }).render().asPng())
    found.push({ set, noun, icon: id, version })
  }
}
fs.writeFileSync(`${out}/found.json`, JSON.stringify(found))
console.log(found.length, 'drawings of', new Set(found.map(f => f.noun)).size, 'nouns')

/**
 * Renews the generated parts of the documentation: references, lists, the schema for editors, transcripts.
 *
 *   npm run docs -- [--check] [--quick] [docs/PAGE.md …]
 *
 * --check writes nothing, names what is stale and exits with 1. --quick skips the transcripts, whose commands run for
 * some minutes; PAGES choose whose transcripts are renewed.
 *
 * Time: 5 minutes; 3 s with --quick
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { configJsonSchema, renderConfigJsonSchema } from '#clm/config/jsonSchema.js';
import { root } from '../lib/clm.mjs';
import { scriptsReference } from '../lib/listing.mjs';
import { commandsReference, keysReference, otherNamesPage } from './references.mjs';
import { renewTranscripts } from './transcripts.mjs';

const isCheck = process.argv.includes('--check');

/** Pages in the order in which their questions come up; others follow by their titles. */
const readingOrder = [
  ...[
    'install',
    'own-files',
    'how-long',
    'stopped',
    'out-of-memory',
    'long-contexts',
    'compare',
    'sampling',
    'serving',
    'other-names',
    'api',
  ],
  ...['tokenizers', 'architectures', 'training'],
  ...['how-a-step-works', 'speed', 'durability', 'add-a-tokenizer', 'add-a-block', 'add-an-optimizer'],
  'releasing',
].map((name) => `${name}.md`);

/** The overview of docs/: every page by its title. */
function overview() {
  const pages = readdirSync(path.join(root, 'docs')).filter(
    (name) => name.endsWith('.md') && name !== 'README.md' && !name.startsWith('reference-'),
  );
  const titled = pages.map((name) => ({
    name,
    title: /^# (.+)$/m.exec(readFileSync(path.join(root, 'docs', name), 'utf8'))?.[1] ?? name,
  }));
  const place = (/** @type {{ name: string }} */ { name }) =>
    readingOrder.includes(name) ? readingOrder.indexOf(name) : readingOrder.length;
  const lines = titled
    .sort((a, b) => place(a) - place(b) || (a.title < b.title ? -1 : 1))
    .map(({ name, title }) => `- [${title}](${name})`);
  return `# Documentation

One page per question:

${lines.join('\n')}

For looking up: [every key of a config](reference-keys.md), [every command](reference-commands.md).

\`npm run docs\` updates this list, the references, the schema for editors, and every transcript by running its
commands (\`-- --quick\` skips the transcripts, \`-- docs/compare.md\` updates only those of that page, \`-- --check\`
only lists what is stale). In a transcript, … replaces lines that are left out; numbers, times and what a model writes
come from the machine that made it and are not compared.
`;
}

const generated = Object.entries({
  'docs/README.md': overview(),
  'schema/config.schema.json': renderConfigJsonSchema(),
  'docs/reference-keys.md': keysReference(configJsonSchema()),
  'docs/reference-commands.md': commandsReference(),
  'docs/other-names.md': otherNamesPage(),
  'scripts/README.md': scriptsReference(),
}).map(([file, text]) => ({ file, text }));
const stale = generated.filter(
  ({ file, text }) => !existsSync(path.join(root, file)) || readFileSync(path.join(root, file), 'utf8') !== text,
);
if (!isCheck) for (const { file, text } of stale) writeFileSync(path.join(root, file), text);
const staleFiles = stale.map(({ file }) => file);
const pages = process.argv.slice(2).filter((arg) => arg.endsWith('.md'));
if (!process.argv.includes('--quick'))
  staleFiles.push(...(await renewTranscripts({ isCheck, only: pages.length > 0 ? pages : null })));
for (const file of staleFiles) process.stdout.write(`${isCheck ? 'stale' : 'renewed'}: ${file}\n`);
if (isCheck && staleFiles.length > 0) {
  process.stderr.write('error: the documentation is not that of this program. Renew it: npm run docs\n');
  process.exit(1);
}

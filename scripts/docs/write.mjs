// npm run docs: renews what of the documentation is made from the program: the schema for editors, the reference of
// keys and commands, and the transcripts. `--check` writes nothing, names what is stale and exits 1; `--quick` leaves
// the transcripts alone, which run commands for some minutes; page names (docs/compare.md) choose whose to run.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { renewTranscripts } from './transcripts.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const isCheck = process.argv.includes('--check');
const { configJsonSchema, renderConfigJsonSchema } = await import('../../dist/config/jsonSchema.js').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  process.stderr.write('error: build first: npm run build\n');
  process.exit(2);
});

const tableText = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
const code = (text) => `\`${tableText(text)}\``;

/** What may stand at a key, in a few words. */
function kindOf(schema) {
  // That a reference such as ${model.width} may stand anywhere is said once, above.
  const alternatives = (schema.anyOf ?? schema.oneOf)?.filter(({ pattern }) => pattern !== '^\\$\\{');
  if (alternatives) return [...new Set(alternatives.map(kindOf))].join(' or ');
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum) return schema.enum.map((value) => code(value)).join(', ');
  if (schema.type === 'array') return schema.items ? `list of ${kindOf(schema.items)}` : 'list';
  if (schema.type === 'object') return 'mapping';
  return (
    { integer: 'whole number', number: 'number', string: 'text', boolean: 'true or false', null: 'null' }[
      schema.type
    ] ?? 'any'
  );
}

/** A row for each key, mappings and the mappings of lists entered. */
function keyRows(schema, key) {
  const inner = schema.anyOf ?? schema.oneOf ?? [schema];
  const own =
    key === '' ? [] : [{ key, kind: kindOf(schema), default: schema.default, description: schema.description ?? '' }];
  const below = inner.flatMap((each) => {
    if (each.properties)
      return Object.entries(each.properties).flatMap(([name, value]) =>
        keyRows(value, key === '' ? name : `${key}.${name}`),
      );
    return each.items && !Array.isArray(each.items)
      ? keyRows(each.items, `${key}[]`).filter((row) => row.key !== `${key}[]`)
      : [];
  });
  const seen = new Set();
  return [...own, ...below].filter((row) => !seen.has(row.key) && seen.add(row.key));
}

function keysReference() {
  const schema = configJsonSchema();
  const line = (row) => {
    const value =
      row.default === undefined ||
      (typeof row.default === 'object' && row.default !== null && !Array.isArray(row.default))
        ? ''
        : code(JSON.stringify(row.default));
    return `| ${code(row.key)} | ${row.kind.replaceAll('|', '\\|')} | ${value} | ${tableText(row.description.replace(/ \(default: [^]*\)$/, ''))} |`;
  };
  const section = (title, intro, rows) =>
    `## ${title}\n\n${intro}| key | value | default | meaning |\n|---|---|---|---|\n${rows.map(line).join('\n')}\n`;
  const entries = Object.entries(schema.properties).map(([name, value]) => ({
    name,
    description: value.description,
    rows: keyRows(value, name),
  }));
  const single = entries.filter(({ rows }) => rows.length === 1).flatMap(({ rows }) => rows);
  const sections = entries
    .filter(({ rows }) => rows.length > 1)
    .map(({ name, description, rows }) => section(name, description ? `${description}\n\n` : '', rows.slice(1)));
  const intro =
    'Made by `npm run docs` from the config schema; [configs/reference.yaml](../configs/reference.yaml) is the same as a config. Instead of any value, `${model.width}` takes that of another key and `${env:NAME}` or `${env:NAME:-default}` that of an environment variable.';
  return `# Every key of a config\n\n${intro}\n\n${[section('At the top', '', single), ...sections].join('\n')}`;
}

function commandsReference() {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'dist/cli/main.js'), 'completion', 'json'],
    { encoding: 'utf8', maxBuffer: 1e8 },
  );
  if (status !== 0) throw new Error(stderr);
  const section = ({ usage, describe, options, examples }) => {
    const rows = options.map((option) => {
      const value = option.choices.map(code).join(', ') || (option.takesValue ? 'value' : '');
      const standard =
        [undefined, false].includes(option.default) || Array.isArray(option.default) ? '' : option.default;
      const name = code(option.isPositional ? option.name : `--${option.name}`);
      return `| ${name} | ${value} | ${standard && code(standard)} | ${tableText(option.describe)} |`;
    });
    const table = ['', '| argument | value | default | meaning |', '|---|---|---|---|', ...rows, ''];
    const shown = examples.map((example) => `${example.command}    # ${example.describe}`);
    return [`### clm ${usage}`, '', `${describe}.`, ...(rows.length > 0 ? table : ['']), '```', ...shown, '```', ''];
  };
  const commands = stdout.trimEnd().split('\n').map(JSON.parse);
  const lines = commands.flatMap((command, i) => [
    ...(command.group === commands[i - 1]?.group ? [] : [`## ${command.group}`, '']),
    ...section(command),
  ]);
  const intro = 'Generated by `npm run docs` from the program; `clm <command> --help` prints the same.';
  return ['# Every command', '', intro, '', ...lines].join('\n');
}

/** Pages in the order in which their questions come up; others follow by their titles. */
const readingOrder = [
  ...[
    'own-files',
    'how-long',
    'stopped',
    'out-of-memory',
    'compare',
    'sampling',
    'api',
    'tokenizers',
    'architectures',
    'training',
  ],
  ...['how-a-step-works', 'speed', 'durability', 'add-a-tokenizer', 'add-a-block', 'add-an-optimizer'],
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
  const place = ({ name }) => (readingOrder.includes(name) ? readingOrder.indexOf(name) : readingOrder.length);
  const lines = titled
    .sort((a, b) => place(a) - place(b) || (a.title < b.title ? -1 : 1))
    .map(({ name, title }) => `- [${title}](${name})`);
  return `# Documentation

One page a question:

${lines.join('\n')}

For looking up: [every key of a config](reference-keys.md), [every command](reference-commands.md).

\`npm run docs\` renews this list, the references, the schema for editors and every transcript, by running what it shows
(\`-- --quick\` without transcripts, \`-- docs/compare.md\` only that page's, \`-- --check\` only says what is stale). In a
transcript … stands for lines that are left out; numbers, times and what a model writes are those of the machine it was
made on, and are not compared.
`;
}

const generated = {
  'docs/README.md': overview(),
  'schema/config.schema.json': renderConfigJsonSchema(),
  'docs/reference-keys.md': keysReference(),
  'docs/reference-commands.md': commandsReference(),
};
const stale = Object.entries(generated).filter(
  ([file, text]) => !existsSync(path.join(root, file)) || readFileSync(path.join(root, file), 'utf8') !== text,
);
if (!isCheck) for (const [file, text] of stale) writeFileSync(path.join(root, file), text);
const staleFiles = stale.map(([file]) => file);
const pages = process.argv.slice(2).filter((arg) => arg.endsWith('.md'));
if (!process.argv.includes('--quick'))
  staleFiles.push(...(await renewTranscripts(root, { isCheck, only: pages.length > 0 ? pages : null })));
for (const file of staleFiles) process.stdout.write(`${isCheck ? 'stale' : 'renewed'}: ${file}\n`);
if (isCheck && staleFiles.length > 0) {
  process.stderr.write('error: the documentation is not that of this program. Renew it: npm run docs\n');
  process.exit(1);
}

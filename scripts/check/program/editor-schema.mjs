/**
 * Asks a YAML language server what an editor would show for a config with schema/config.schema.json.
 *
 *   npm run check -- editor-schema --server FILE
 *
 * FILE is bin/yaml-language-server of the npm package yaml-language-server, installed outside of clm. Keys and values
 * must be completed, hovering must show the description, and a wrong value must be marked while ${…} is not.
 *
 * Time: 5 s
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../../lib/clm.mjs';

const at = process.argv.indexOf('--server');
if (at < 0) {
  process.stderr.write(
    'error: name the server: --server …/node_modules/yaml-language-server/bin/yaml-language-server\n',
  );
  process.exit(2);
}
const server = spawn(process.execPath, [path.resolve(process.argv[at + 1]), '--stdio'], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
const schema = pathToFileURL(path.join(root, 'schema/config.schema.json')).href;
/** @type {Map<number, (result: any) => void>} */
const waiting = new Map();
/** @type {Map<string, { message: string, range: { start: { line: number, character: number } } }[]>} */
const diagnostics = new Map();
let pending = Buffer.alloc(0);
let lastId = 0;

const send = (/** @type {object} */ message) => {
  const body = JSON.stringify({ jsonrpc: '2.0', ...message });
  server.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
};
/** @param {string} method @param {object} params @returns {Promise<any>} */
const ask = (method, params) =>
  new Promise((resolve) => {
    waiting.set(++lastId, resolve);
    send({ id: lastId, method, params });
  });
server.stdout.on('data', (chunk) => {
  pending = Buffer.concat([pending, chunk]);
  for (;;) {
    const header = /^Content-Length: (\d+)[^]*?\r\n\r\n/.exec(pending.toString('latin1'));
    if (!header || pending.length < header[0].length + Number(header[1])) return;
    const message = JSON.parse(pending.subarray(header[0].length, header[0].length + Number(header[1])).toString());
    pending = pending.subarray(header[0].length + Number(header[1]));
    if (message.method === 'textDocument/publishDiagnostics')
      diagnostics.set(message.params.uri, message.params.diagnostics);
    else if (message.method === 'workspace/configuration')
      send({ id: message.id, result: message.params.items.map(() => null) });
    else if (message.method && message.id !== undefined) {
      // A custom request for the schema of a file, or for the contents of one.
      const isContent = message.method === 'custom/schema/content' || message.method === 'vscode/content';
      send({
        id: message.id,
        result: isContent ? readFileSync(path.join(root, 'schema/config.schema.json'), 'utf8') : null,
      });
    } else waiting.get(message.id)?.(message.result);
  }
});

/** @param {string} what @param {boolean} isTrue @param {unknown} found */
const check = (what, isTrue, found) => {
  if (!isTrue) throw new Error(`not so: ${what}; found ${JSON.stringify(found)}`);
  process.stdout.write(`${what}\n`);
};
/** @param {string} name @param {string} text */
const open = (name, text) => {
  const uri = `file:///${name}.yaml`;
  send({
    method: 'textDocument/didOpen',
    params: {
      textDocument: { uri, languageId: 'yaml', version: 1, text: `# yaml-language-server: $schema=${schema}\n${text}` },
    },
  });
  return { textDocument: { uri } };
};
const limit = setTimeout(() => {
  process.stderr.write('error: the language server does not answer\n');
  server.kill();
  process.exit(1);
}, 30_000);

try {
  await ask('initialize', {
    processId: process.pid,
    rootUri: null,
    capabilities: {
      textDocument: { completion: { completionItem: { documentationFormat: ['markdown'] } }, hover: {} },
    },
  });
  send({ method: 'initialized', params: {} });
  send({
    method: 'workspace/didChangeConfiguration',
    params: { settings: { yaml: { completion: true, hover: true, validate: true, schemaStore: { enable: false } } } },
  });

  const keys = await ask('textDocument/completion', {
    ...open('keys', 'model:\n  \n'),
    position: { line: 2, character: 2 },
  });
  /** @type {string[]} */
  const labels = (keys?.items ?? []).map((/** @type {{ label: string }} */ { label }) => label);
  check(
    'keys of model are offered',
    ['layers', 'heads', 'width', 'contextLength'].every((key) => labels.includes(key)),
    labels,
  );

  const values = await ask('textDocument/completion', {
    ...open('values', 'device: \n'),
    position: { line: 1, character: 8 },
  });
  /** @type {string[]} */
  const offered = (values?.items ?? []).map((/** @type {{ label: string }} */ { label }) => label);
  check(
    'values of device are offered',
    ['auto', 'cpu', 'cuda'].every((value) => offered.includes(value)),
    offered,
  );

  const hover = await ask('textDocument/hover', {
    ...open('hover', 'model:\n  width: 128\n'),
    position: { line: 2, character: 4 },
  });
  const text = JSON.stringify(hover?.contents ?? '');
  check(
    'hovering explains the key, its unit and its default',
    text.includes('Size of the vector of a position') && text.includes('128'),
    text,
  );

  const wrong = open('wrong', 'model: { width: wide, layers: "${model.heads}" }\ntrainnig: {}\n').textDocument.uri;
  for (let i = 0; i < 100 && (diagnostics.get(wrong) ?? []).length === 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  const marked = (diagnostics.get(wrong) ?? []).map(
    ({ message, range }) => `${range.start.line}:${range.start.character} ${message}`,
  );
  check(
    'a wrong value and an unknown key are marked, a reference is not',
    marked.length === 2 &&
      marked.some((each) => each.startsWith('1:16')) &&
      marked.some((each) => each.includes('trainnig')),
    marked,
  );
} finally {
  clearTimeout(limit);
  server.kill();
}

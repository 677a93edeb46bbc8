// dist/vendor/tfjs-node.cjs: tfjs-node's backend and kernels and tfjs-core's gradients in one file. Without the rest of
// TensorFlow.js (layers, WebGL, its own loading of the binding) clm starts sooner, and its package needs none of it.

import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { hashOf, readJson, writeWhole } from '../files.mjs';

const name = 'tfjs-node.cjs';
const packages = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-node-gpu', 'rolldown'];

/** What tfjs-node-gpu asks for and is given instead. @type {Record<string, string>} */
const replacements = {
  // Messages for TensorBoard, which clm writes itself.
  './proto/api_pb': 'module.exports = {};',
  // The two functions of Node's util that Node 23 removed, and that Node 22 warns of (DEP0044, DEP0051).
  util: `module.exports = {
    isNullOrUndefined: (value) => value === null || value === undefined,
    isArray: Array.isArray,
  };`,
};

const banner = (/** @type {string} */ hash) => `/*
 * Parts of @tensorflow/tfjs-node-gpu and @tensorflow/tfjs-core, Copyright Google LLC, Apache License 2.0, bundled and
 * changed: messages for TensorBoard and deprecated functions of Node's util are replaced. ${hash}
 */`;

/**
 * Makes the bundle, or copies that of the former build if it is of the same packages.
 * @param {string} root project folder, its packages installed
 * @param {string} dist the build that is being made
 */
export async function bundleTfjs(root, dist) {
  const versions = packages.map((each) => readJson(path.join(root, 'node_modules', each, 'package.json')).version);
  const sources = ['bundle.mjs', 'entry.mjs'].map((file) => readFileSync(path.join(import.meta.dirname, file)));
  const start = banner(hashOf(...versions, ...sources).slice(0, 16));
  const [former, file] = [path.join(root, 'dist/vendor', name), path.join(dist, 'vendor', name)];
  mkdirSync(path.dirname(file), { recursive: true });
  if (existsSync(former) && readFileSync(former, 'utf8').startsWith(start)) return copyFileSync(former, file);
  // Not at the top: the set-up runs before there are packages.
  const { rolldown } = await import('rolldown');
  const bundle = await rolldown({
    input: path.join(import.meta.dirname, 'entry.mjs'),
    platform: 'node',
    external: ['@tensorflow/tfjs-core', 'node-fetch'],
    logLevel: 'silent',
    plugins: [
      {
        name: 'replacements',
        resolveId: (source, importer) => {
          if (source === '@tensorflow/tfjs') return { id: '@tensorflow/tfjs-core', external: true };
          return source in replacements && importer?.includes('tfjs-node-gpu') ? `\0${source}` : undefined;
        },
        load: (id) => replacements[id.slice(1)],
      },
    ],
  });
  const { output } = await bundle.generate({ format: 'cjs', exports: 'named' });
  writeWhole(file, `${start}\n${output[0].code}`);
}

/**
 * The scripts of a report as one text: uPlot from its package, then the modules of client/ as the compiler leaves
 * them, joined without their imports and exports (they share no names), so that the page needs no loader.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const packages = createRequire(import.meta.url);

/** In an order in which each uses only what stands before it. */
const clientModules = ['curves', 'chart', 'page'];

export function clientScript(): string {
  const uPlot = readFileSync(packages.resolve('uplot/dist/uPlot.iife.min.js'), 'utf8');
  const client = clientModules
    .map((name) => readFileSync(new URL(`./client/${name}.js`, import.meta.url), 'utf8'))
    .map(joinable);
  return `${uPlot}\n(() => {\n'use strict';\n${client.join('\n')}\n})();`.replaceAll('</script', '<\\/script');
}

export const chartStyles = (): string => readFileSync(packages.resolve('uplot/dist/uPlot.min.css'), 'utf8');

const joinable = (module: string): string =>
  module
    .replace(/^import [^;]*;$/gm, '')
    .replace(/^export \{[^}]*\};?$/gm, '')
    .replace(/^export (?=(async )?(function|const|class) )/gm, '');

import { describe, expect, it } from 'vitest';
import { loadConfig, parseResolvedConfig } from '../../src/config/load.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { corpus, useConfigFolder } from './configFolder.ts';

const folder = useConfigFolder();
const load = (text: string, ...set: string[]) => loadConfig(folder.write('a.yaml', text), { set });

describe('${…} in a config', () => {
  it('is the value of another key with its type, also of a default, and text inside a longer text', () => {
    const config = load(`${corpus}
name: "w\${model.width}-\${training.microBatchSize}"
model: { width: 96, contextLength: "\${model.width}", layers: "\${model.heads}", heads: 6 }
samples: { prompt: "costs $\${5} and \${model.heads}, \${name}" }
`);
    expect(config.name).toBe('w96-12');
    expect(config.model).toMatchObject({ width: 96, contextLength: 96, layers: 6 });
    expect(config.samples.prompt).toBe('costs ${5} and 6, w96-12');
  });

  it('sees the values of --set and extends', () => {
    folder.write('base.yaml', `${corpus}model: { width: 32, contextLength: "\${model.width}" }\n`);
    expect(load('extends: base.yaml\n', 'model.width=64').model.contextLength).toBe(64);
    expect(load('extends: base.yaml\nmodel: { width: 16 }\n').model.contextLength).toBe(16);
  });

  it('is an environment variable or its default; paths stay relative to their file', () => {
    process.env['CLM_TEST_STEPS'] = '7';
    process.env['CLM_TEST_EMPTY'] = '';
    try {
      const config = load(`corpus: { sources: [{ path: "\${env:CLM_TEST_NOWHERE:-texts}/a.txt" }] }
training: { steps: "\${env:CLM_TEST_STEPS}", microBatchSize: "\${env:CLM_TEST_EMPTY:-3}" }
samples: { prompt: "\${env:CLM_TEST_NOWHERE:-two words}" }
`);
      expect(config.training).toMatchObject({ steps: 7, microBatchSize: 3 });
      expect(config.samples.prompt).toBe('two words');
      expect(config.corpus.sources[0]!.path).toBe(folder.path('texts/a.txt'));
    } finally {
      delete process.env['CLM_TEST_STEPS'];
      delete process.env['CLM_TEST_EMPTY'];
    }
  });

  it('does not occur in the resolved config, which is read back unchanged', () => {
    const config = load(`${corpus}samples: { prompt: "$\${env:HOME} \${seed} $" }\n`);
    expect(config.samples.prompt).toBe('${env:HOME} 1337 $');
    expect(parseResolvedConfig(renderConfig(config), 'config.yaml')).toEqual(config);
  });

  it.each([
    [
      'model: { width: "${model.wdith}" }',
      'a.yaml:2:17: ${model.wdith} is not a config key; did you mean model.width? ' +
        '(an environment variable is ${env:NAME})',
    ],
    [
      'model: { width: "${model.heads" }',
      'a.yaml:2:17: ${model.heads is not closed; write ${…}, or $${ for a literal ${',
    ],
    [
      'model: { width: "${env:CLM_TEST_NOWHERE}" }',
      'a.yaml:2:17: environment variable CLM_TEST_NOWHERE is not set; set it or write ${env:CLM_TEST_NOWHERE:-DEFAULT}',
    ],
    ['model: { width: "${env:1x}" }', 'a.yaml:2:17: ${env:1x} is not valid; write ${env:NAME} or ${env:NAME:-default}'],
    [
      'model: { width: "${model.heads}", heads: "${model.width}" }',
      'a.yaml:2:17: ${model.heads} is a circular reference',
    ],
    [
      'samples: { prompt: "a ${training.tokens}" }',
      'a.yaml:2:20: ${training.tokens} is null, which cannot be part of a text',
    ],
    [
      'samples: { prompt: "a ${model}", topK: "${model}" }',
      'a.yaml:2:20: ${model} has no value: the key is not set and has no default',
    ],
    ['model: { width: "${samples.prompt}" }', 'a.yaml:2:17: model.width must be a whole number, but is "\\n"'],
  ])('is refused: %s', (line, message) => {
    expect(folder.refusal(`${corpus}${line}\n`)).toBe(message);
  });
});

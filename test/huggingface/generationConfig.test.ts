import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig, parseResolvedConfig } from '../../src/config/load.ts';
import { renderConfig, resumeDifferences } from '../../src/config/resolved.ts';
import { exportModel } from '../../src/huggingface/exportModel.ts';
import { generationSettings, readGenerationConfig } from '../../src/huggingface/generationConfig.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { defaultSettings } from '../../src/sampling/settings.ts';
import { wrongInputMessage } from '../config/configFolder.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { fixture } from './fixtures.ts';

const folder = useTemporaryFolder();

const readText = (text: string) => {
  writeFileSync(join(folder(), 'generation_config.json'), text);
  return readGenerationConfig(folder());
};
const read = (value: object) => readText(JSON.stringify(value));

describe('generation_config.json', () => {
  it.each([
    [{ transformers_version: '5.24.0', eos_token_id: 2, max_length: 20, num_beams: 1, _from_model_config: true }, {}],
    [
      { temperature: 0.2, top_p: 0.9 },
      { temperature: 0.2, topP: 0.9 },
    ],
    [{ do_sample: true }, { temperature: 1, topK: 50 }],
    [
      { do_sample: true, temperature: 0.7, top_k: 0, top_p: 1, min_p: 0.05, repetition_penalty: 1.1 },
      { temperature: 0.7, topK: null, topP: null, minP: 0.05, repetitionPenalty: 1.1 },
    ],
    [{ do_sample: false, temperature: null, top_k: null }, { temperature: 0 }],
  ])('%j is taken over as %j', (given, sampling) => {
    expect(read(given)).toMatchObject({ sampling, warnings: [] });
    expect(Object.keys(read(given).sampling)).toEqual(Object.keys(sampling));
  });

  it.each([
    [{ no_repeat_ngram_size: 3 }, 'no_repeat_ngram_size is 3: not taken over'],
    [{ num_beams: 4, num_return_sequences: 1 }, 'num_beams is 4: not taken over'],
    [{ max_new_tokens: 2048 }, 'max_new_tokens is 2048: not taken over'],
    [{ top_k: -1 }, 'top_k is -1, which clm cannot sample with: not taken over'],
    [{ top_p: '0.9' }, 'top_p is "0.9", which clm cannot sample with: not taken over'],
    [
      { do_sample: false, temperature: 0.6 },
      'temperature is 0.6, but do_sample is false: took 0, as transformers does',
    ],
  ])('of %j something is not taken over, with its value', (given, warning) => {
    expect(read(given).warnings).toEqual([`generation_config.json: ${warning}`]);
  });

  it('is refused if it is not a JSON object', () => {
    for (const text of ['{', '[1]', 'null'])
      expect(wrongInputMessage(() => readText(text))).toMatch(/generation_config\.json is not a JSON object\. Down/);
  });

  it('survives import and export, and a run that starts from the imported one', async () => {
    const directory = join(folder(), 'model');
    cpSync(fixture('llama'), directory, { recursive: true });
    const given = { do_sample: true, temperature: 0.6, top_k: 0, top_p: 0.95, repetition_penalty: 1.2 };
    writeFileSync(join(directory, 'generation_config.json'), JSON.stringify(given));
    const sampling = { temperature: 0.6, topK: null, topP: 0.95, repetitionPenalty: 1.2 };
    expect(await importModel(directory, join(folder(), 'run'), { contextLength: null })).toMatchObject({ sampling });
    await exportModel(join(folder(), 'run'), join(folder(), 'out'), { checkpoint: 'last', dtype: 'float32' });
    expect(JSON.parse(readFileSync(join(folder(), 'out', 'generation_config.json'), 'utf8'))).toMatchObject(given);

    writeFileSync(join(folder(), 'text.txt'), 'abc');
    const file = join(folder(), 'a.yaml');
    const text = 'corpus: { sources: [{ path: text.txt }] }\nstart: { from: run }\n';
    writeFileSync(file, text);
    expect(defaultSettings(loadConfig(file))).toMatchObject(sampling);
    writeFileSync(file, `${text}samples: { temperature: 0, topP: null }\n`);
    expect(defaultSettings(loadConfig(file))).toMatchObject({ ...sampling, temperature: 0, topP: null });
  });

  it('is written so that it is read as the same settings', () => {
    const defaults = loadConfig({ keys: { name: 'a', corpus: { sources: [{ path: 'text.txt' }] } } }).samples;
    expect(generationSettings(defaults)).toEqual({});
    for (const changed of [{ temperature: 0 }, { topK: 7 }, { minP: 0.1, temperature: 1 }, { topP: 0.3 }]) {
      const written = generationSettings({ ...defaults, ...changed });
      expect({ ...defaults, ...read(written).sampling }).toEqual({ ...defaults, ...changed });
      expect(written['do_sample']).toBe(!('temperature' in changed && changed.temperature === 0));
    }
  });
});

it('a config.yaml of before has the defaults: its run is resumed', () => {
  const config = loadConfig({ keys: { name: 'a', corpus: { sources: [{ path: 'text.txt' }] } } });
  const text = renderConfig(config);
  const before = text.replace(/^ {2}(topP|minP|repetitionPenalty): .*\n/gm, '');
  expect(before.split('\n')).toHaveLength(text.split('\n').length - 3);
  expect(parseResolvedConfig(before, 'config.yaml')).toEqual(config);
  expect(resumeDifferences(parseResolvedConfig(before, 'config.yaml'), config)).toEqual([]);
});

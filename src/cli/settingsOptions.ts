/** Options that say how completions are made; the schema of src/sampling/settings.ts checks their values. */
export const settingsOptions = {
  'max-tokens': {
    type: 'number',
    describe: 'Maximum tokens per completion (default: samples.maxTokens of the config)',
  },
  'min-tokens': { type: 'number', describe: 'Minimum tokens per completion (default: 0)' },
  temperature: {
    type: 'number',
    describe: 'Sampling temperature; 0 always takes the most likely token (default: samples.temperature of the config)',
  },
  'top-k': { type: 'number', describe: 'Sample from the k most likely tokens (default: samples.topK of the config)' },
  'top-p': {
    type: 'number',
    describe:
      'Sample from the fewest most likely tokens whose probabilities sum to at least this ' +
      '(default: samples.topP of the config)',
  },
  'min-p': {
    type: 'number',
    describe:
      'Sample from tokens at least this fraction as likely as the most likely one ' +
      '(default: samples.minP of the config)',
  },
  'repetition-penalty': {
    type: 'number',
    describe:
      'Make tokens that already occur less likely; 1 is no penalty (default: samples.repetitionPenalty of the config)',
  },
  'presence-penalty': {
    type: 'number',
    describe: 'Subtract this from the logit of each token that the completion already has (default: 0)',
  },
  'frequency-penalty': {
    type: 'number',
    describe: 'Subtract this from the logit of a token for each time the completion has it (default: 0)',
  },
  'logit-bias': {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Add a number to the logit of a token id, e.g. 17=-2.5; repeatable',
  },
  stop: { type: 'string', array: true, nargs: 1, describe: 'End the completion before this text; repeatable' },
  'stop-token': { type: 'number', array: true, nargs: 1, describe: 'End the completion at this token id; repeatable' },
  'special-tokens': {
    type: 'boolean',
    describe: 'Text in a prompt that spells a special token, e.g. <|endoftext|>, is that token',
  },
  'beyond-context': {
    choices: ['slide', 'stop'],
    describe: 'When the context is full: drop its oldest quarter, or stop (default: slide)',
  },
  'log-probabilities': {
    type: 'number',
    describe: 'With --json or --output: add the log-probability of each token, and of this many alternatives',
  },
  seed: {
    type: 'number',
    describe:
      'Seed of the first prompt, from which those of further ones are made; each further completion of a prompt adds ' +
      '1 (default: seed of the config)',
  },
  'same-seed': { type: 'boolean', default: false, describe: 'Use the seed itself for every prompt' },
  samples: { type: 'number', describe: 'Number of completions per prompt (default: 1)' },
} as const;

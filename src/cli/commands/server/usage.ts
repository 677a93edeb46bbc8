/** Interface of `clm serve`. */
import { runArgument } from '../../options.ts';
import { settingsOptions } from '../../settingsOptions.ts';
import { defineUsage } from '../../usage.ts';
import { loadedModelOptions } from '../model/usage.ts';

const {
  'same-seed': _,
  samples: __,
  'special-tokens': ___,
  'log-probabilities': ____,
  'beyond-context': _____,
  ...defaultsOfRequests
} = settingsOptions;

export const serveUsage = defineUsage({
  command: 'serve <run>',
  describe: 'Serve a trained model by OpenAI’s HTTP interface',
  positionals: runArgument,
  options: {
    host: {
      type: 'string',
      nargs: 1,
      default: '127.0.0.1',
      describe: 'Address to listen on; another than this machine’s own needs --api-key-file or --insecure',
    },
    port: { type: 'number', default: 8080, describe: 'Port to listen on; 0 takes a free one and prints it' },
    'api-key-file': {
      type: 'string',
      nargs: 1,
      describe: 'File with the API keys that clients must send, one per line (default: any key passes)',
    },
    insecure: {
      type: 'boolean',
      default: false,
      describe: 'Serve other machines without API keys: everybody who reaches the address can use the model',
    },
    cors: {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Origin whose web pages may use the server, e.g. http://localhost:3000, or * for all; repeatable',
    },
    'model-name': {
      type: 'string',
      nargs: 1,
      describe: 'Name by which clients ask for the model (default: the run’s)',
    },
    batch: { type: 'number', default: 8, describe: 'Maximum number of completions generated at once' },
    queue: {
      type: 'number',
      default: 64,
      describe: 'Maximum number of completions that wait; further requests are refused with status 429',
    },
    'context-length': {
      type: 'number',
      describe: 'Tokens of prompt and completion together, fewer than the model’s own, to save memory',
    },
    'request-timeout': {
      type: 'string',
      nargs: 1,
      default: '10m',
      describe: 'Time after which a request is ended, waiting included, e.g. 30s or 1h',
    },
    'stop-timeout': {
      type: 'string',
      nargs: 1,
      default: '30s',
      describe: 'Time that requests have to end after SIGTERM or Ctrl-C',
    },
    ...defaultsOfRequests,
    ...loadedModelOptions,
  },
  examples: [
    ['clm serve runs/moby-dick', 'Serve this machine: http://127.0.0.1:8080/v1'],
    ['clm serve runs/smollm2 --max-tokens 512 --temperature 0.7', 'Set what requests may leave out'],
    ['clm serve runs/smollm2 --host 0.0.0.0 --api-key-file keys.txt', 'Serve other machines, to those who have a key'],
  ],
});

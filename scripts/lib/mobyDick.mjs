/** The text of Moby-Dick that comes with clm: 1.2 MB of English prose. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

export const mobyDickFile = path.resolve(import.meta.dirname, '../../configs/texts/moby-dick.txt.gz');

/** The bytes of the text, decompressed. */
export const mobyDick = () => gunzipSync(readFileSync(mobyDickFile));

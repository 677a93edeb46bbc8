/**
 * Decompression of zstd files (RFC 8878): libzstd as WebAssembly decodes the blocks; the frames around them are read
 * here. So every fault has its name, and what a frame needs is known before memory is taken for it.
 */

/** The largest block, compressed or not (RFC 8878, 3.1.1.2). */
const maximumBlockBytes = 128 * 1024;
/** The window up to which libzstd decodes by itself, and the `zstd` program without --long or --memory. */
const maximumWindowBytes = 128 * 1024 * 1024;

const frameMagic = 0xfd2fb528;
/** A frame of one raw block with one byte, "x". */
const probe = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x01, 0x09, 0x00, 0x00, 0x78);

const isSkippable = (magic: number): boolean => magic >>> 4 === 0x184d2a5;

/** What is wrong with a file that is whole, but that clm does not read; the message says what to do. */
export class UnsupportedZstd extends Error {}

/**
 * The content of all frames, one after another; skippable frames are passed over, as their standard says. Memory: the
 * window of one frame.
 * @throws UnsupportedZstd, or an error that says how the file is damaged
 */
export async function* zstdChunks(file: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const input = new Input(file);
  const decoder = await openDecoder();
  try {
    for (let first = true; ; first = false) {
      const start = await input.peek(4);
      if (start.length === 0 && !first) return;
      if (start.length < 4) throw new Error('the file ends inside the beginning of a frame');
      const magic = viewOf(start).getUint32(0, true);
      if (isSkippable(magic)) {
        await input.skip(viewOf(await input.take(8)).getUint32(4, true));
        continue;
      }
      if (magic !== frameMagic) throw new Error('there are bytes that are no zstd frame');
      yield* frameChunks(input, decoder);
    }
  } finally {
    decoder.close();
  }
}

async function* frameChunks(input: Input, decoder: Decoder): AsyncGenerator<Uint8Array, void, void> {
  const { bytes, hasChecksum, windowBytes, wantedBytes } = await frameHeader(input);
  if (!decoder.hasRoomFor(windowBytes))
    throw new UnsupportedZstd(
      `needs ${sized(windowBytes)} of memory for its window, too much beside the other zstd files that are read in ` +
        'turns. Decompress some of them first: zstd -d',
    );
  decoder.decode(bytes, 0);
  let contentBytes = 0;
  for (let isLast = false; !isLast; ) {
    const header = await input.peek(3);
    if (header.length < 3) throw new Error('the file ends inside a frame');
    const fields = header[0]! | (header[1]! << 8) | (header[2]! << 16);
    isLast = (fields & 1) === 1;
    const kind = (fields >> 1) & 3; // 0 raw, 1 one byte repeated, 2 compressed
    const size = fields >>> 3;
    if (kind === 3 || size > maximumBlockBytes) throw new Error('a block has a header that none can have');
    const content = decoder.decode(await input.take(3 + (kind === 1 ? 1 : size)), maximumBlockBytes);
    const isWhole = kind === 2 ? content.length > 0 : content.length === size;
    if (!isWhole) throw new Error('a block cannot be decoded');
    contentBytes += content.length;
    if (wantedBytes > windowBytes && contentBytes > windowBytes) throw tooLargeWindow(wantedBytes);
    if (content.length > 0) yield content;
  }
  if (hasChecksum) decoder.decode(await input.take(4), 0);
  // The decoder says nothing of a wrong length or checksum, but then it does not go on to another frame.
  if (decoder.decode(probe, 1)[0] !== 0x78)
    throw new Error(`a frame's ${hasChecksum ? 'checksum or length' : 'length'} does not match what is in it`);
}

interface FrameHeader {
  bytes: Uint8Array;
  hasChecksum: boolean;
  /** Of memory; less than `wantedBytes`, the window that the file asks for, if that is more than clm reads. */
  windowBytes: number;
  wantedBytes: number;
}

/** RFC 8878, 3.1.1.1. */
async function frameHeader(input: Input): Promise<FrameHeader> {
  const descriptor = (await input.peek(5))[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6]!;
  const bytes = await input.take(5 + (isSingleSegment ? 0 : 1) + dictionaryIdBytes + sizeBytes);
  const view = viewOf(bytes);
  const dictionaryAt = isSingleSegment ? 5 : 6;
  if (bytes.subarray(dictionaryAt, dictionaryAt + dictionaryIdBytes).some((byte) => byte !== 0))
    throw new UnsupportedZstd(
      'was compressed with a dictionary, which clm does not read. Decompress it with zstd -d -D',
    );
  const sizeAt = dictionaryAt + dictionaryIdBytes;
  // Without a window of its own, a frame's window is its whole content.
  const windowBytes = isSingleSegment
    ? contentSize(view, sizeAt, sizeBytes)
    : 2 ** (10 + (bytes[5]! >>> 3)) * (1 + (bytes[5]! & 7) / 8);
  if (windowBytes > maximumWindowBytes && !isSingleSegment) {
    // As `zstd --long=31` writes what comes through a pipe, however short it is: while the content fits into a smaller
    // window, that one does as well.
    bytes[5] = (Math.log2(maximumWindowBytes) - 10) << 3;
    return { bytes, hasChecksum: (descriptor & 4) !== 0, windowBytes: maximumWindowBytes, wantedBytes: windowBytes };
  }
  if (windowBytes > maximumWindowBytes) throw tooLargeWindow(windowBytes);
  return { bytes, hasChecksum: (descriptor & 4) !== 0, windowBytes, wantedBytes: windowBytes };
}

function contentSize(view: DataView, at: number, bytes: number): number {
  if (bytes === 1) return view.getUint8(at);
  if (bytes === 2) return view.getUint16(at, true) + 256;
  return bytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}

function tooLargeWindow(windowBytes: number): UnsupportedZstd {
  const log = Math.ceil(Math.log2(windowBytes));
  return new UnsupportedZstd(
    `was compressed with a window of ${sized(windowBytes)}, which is more than clm reads ` +
      `(${sized(maximumWindowBytes)}). Decompress it first: zstd -d --long=${log}`,
  );
}

const sized = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${+(bytes / 2 ** 30).toFixed(2)} GiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

interface Decoder {
  /** Can a frame with this window be decoded? All decoders share 2 GiB, what 32-bit WebAssembly has. */
  hasRoomFor(windowBytes: number): boolean;
  /** What `bytes`, a header or one block, decode to, at most `maximumBytes`; nothing if they are wrong. */
  decode(bytes: Uint8Array, maximumBytes: number): Uint8Array;
  close(): void;
}

/** What of the library's inside is used: its public functions share one decoder and copy byte by byte. */
interface Library {
  readonly _zstdClass: {
    new (): {
      /** Addresses and lengths. @returns the number of bytes written, 0 after an error */
      decompressChunk(output: number, outputBytes: number, input: number, inputBytes: number): number;
      delete(): void;
    };
    decompress(output: number, outputBytes: number, input: number, inputBytes: number): number;
  };
  readonly _mainModule: {
    readonly _module: { readonly HEAPU8: Uint8Array; _malloc(bytes: number): number; _free(address: number): void };
  };
}

/** Loaded when it is needed, for the sake of commands that read no zstd file. */
const loadLibrary = async (): Promise<Library> =>
  (await (await import('@hpcc-js/wasm-zstd')).Zstd.load()) as unknown as Library;

/** Files that are read in turns have a decoder each. */
async function openDecoder(): Promise<Decoder> {
  const { _zstdClass: Stream, _mainModule } = await loadLibrary();
  const { _module: memory } = _mainModule;
  const stream = new Stream();
  const inputBytes = maximumBlockBytes + 3;
  const input = memory._malloc(inputBytes + maximumBlockBytes);
  const output = input + inputBytes;
  let room = 0; // for the largest window so far, which the decoder keeps
  return {
    hasRoomFor: (windowBytes) => {
      if (input === 0) return false;
      if (windowBytes <= room) return true;
      const address = memory._malloc(windowBytes + 2 ** 20); // its other buffers are below 1 MiB
      memory._free(address);
      if (address !== 0) room = windowBytes;
      return address !== 0;
    },
    decode: (bytes, maximumBytes) => {
      memory.HEAPU8.set(bytes, input);
      const written = stream.decompressChunk(output, maximumBytes, input, bytes.length);
      return memory.HEAPU8.slice(output, output + written); // HEAPU8 is another one once the memory has grown
    },
    close: () => {
      stream.delete();
      memory._free(input);
    },
  };
}

/** A function that decompresses a page of a Parquet file, whose length is known. It throws if the page is damaged. */
export async function zstdPages(): Promise<(page: Uint8Array, bytes: number) => Uint8Array> {
  const { _zstdClass, _mainModule } = await loadLibrary();
  const { _module: memory } = _mainModule;
  return (page, bytes) => {
    const input = memory._malloc(page.length + bytes);
    if (input === 0) throw new Error(`a page of ${sized(bytes)} is more than fits in memory`);
    try {
      memory.HEAPU8.set(page, input);
      const written = _zstdClass.decompress(input + page.length, bytes, input, page.length);
      if (written !== bytes) throw new Error('a page cannot be decompressed (zstd)'); // an error is a huge number
      return memory.HEAPU8.slice(input + page.length, input + page.length + bytes);
    } finally {
      memory._free(input);
    }
  };
}

/** The bytes of a file, as many at a time as are asked for. */
class Input {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private held: Uint8Array = new Uint8Array(0);

  constructor(file: AsyncIterable<Uint8Array>) {
    this.chunks = file[Symbol.asyncIterator]();
  }

  /** The next `length` bytes, which stay; fewer at the end of the file. */
  async peek(length: number): Promise<Uint8Array> {
    while (this.held.length < length) {
      const next = await this.chunks.next();
      if (next.done === true) break;
      this.held = this.held.length === 0 ? next.value : Buffer.concat([this.held, next.value]);
    }
    return this.held.subarray(0, length);
  }

  async take(length: number): Promise<Uint8Array> {
    const bytes = await this.peek(length);
    if (bytes.length < length) throw new Error('the file ends inside a frame');
    this.held = this.held.subarray(length);
    return bytes;
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) left -= (await this.take(Math.min(left, maximumBlockBytes))).length;
  }
}

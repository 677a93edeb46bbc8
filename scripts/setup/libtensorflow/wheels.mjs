// Which wheels hold libtensorflow for a platform and device, and which of their files are needed. Pure tables; names,
// versions and hashes are in requirements/.

export const tensorflowVersion = '2.21.0';

/** Headers that tfjs-node's binding includes, directly or not. */
const headers = ['c/', 'core/platform/'].map((folder) => `tensorflow/include/tensorflow/${folder}`);
const tensorflowMembers = [...headers, 'tensorflow/include/tsl/', 'tensorflow/include/xla/tsl/'];
/** The licences of what libtensorflow is made of, for the package that holds it. */
export const noticesMember = 'tensorflow/THIRD_PARTY_NOTICES.txt';
const linuxLibraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
const macLibraries = ['libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib'];

// NVIDIA's wheels carry different tags; pip takes a wheel when its tag is any of those given.
const cudaTags = ['2_28', '2_27', '2_26', '2_25', '2_24', '2_17', '2_12', '2_5'].map((n) => `manylinux_${n}_x86_64`);

/**
 * @typedef {object} WheelSet
 * @property {string} name platform, arch and device; also the name of the requirements file
 * @property {string[]} pipPlatforms for pip's --platform, independent of the Python that runs pip
 * @property {string[]} libraries file names in `site/tensorflow`
 * @property {string[]} members prefixes of what is unpacked; all wheels of the set are unpacked side by side
 * @property {number} unpackedBytes what the set takes on disk, for the check of free space
 */

/** @type {Record<string, Omit<WheelSet, 'name' | 'members'>>} */
const sets = {
  'linux-x64-cpu': { pipPlatforms: ['manylinux_2_27_x86_64'], libraries: linuxLibraries, unpackedBytes: 0.9e9 },
  'linux-x64-cuda': { pipPlatforms: cudaTags, libraries: linuxLibraries, unpackedBytes: 6.5e9 },
  'linux-arm64-cpu': { pipPlatforms: ['manylinux_2_27_aarch64'], libraries: linuxLibraries, unpackedBytes: 0.9e9 },
  'darwin-arm64-cpu': { pipPlatforms: ['macosx_12_0_arm64'], libraries: macLibraries, unpackedBytes: 0.8e9 },
};

/**
 * The wheels for a platform and device as `chooseDevice` allows them.
 * @param {string} platform Node's name of it
 * @param {string} arch Node's name of it
 * @param {import('../device.mjs').Device} device
 * @returns {WheelSet}
 */
export function wheelSet(platform, arch, device) {
  const name = `${platform}-${arch}-${device}`;
  const set = sets[name];
  if (set === undefined) throw new Error(`no wheels for ${name}`);
  const libraries = set.libraries.map((library) => `tensorflow/${library}`);
  return { name, ...set, members: [...libraries, ...tensorflowMembers, 'nvidia/'] };
}

/** One pinned wheel. @typedef {{ name: string, version: string, bytes: number, pin: string }} Requirement */

/**
 * The pins of a requirements file, in its order: `name==version --hash=sha256:…  # N bytes`. The size is ours, for the
 * progress and the check of free space; pip reads the rest.
 * @param {string} text
 * @returns {Requirement[]}
 */
export function parseRequirements(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const match = /^(([\w.-]+)==([\w.]+) --hash=sha256:[0-9a-f]{64}) {2}# (\d+) bytes$/.exec(line);
    if (match === null) throw new Error(`not a pinned requirement: ${line}`);
    const [, pin = '', name = '', version = '', bytes = ''] = match;
    return { name, version, bytes: Number(bytes), pin };
  });
}

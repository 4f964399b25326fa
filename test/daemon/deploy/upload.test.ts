/** Archives: what terrctl and our command line send, and what nobody honest sends. */

import { pack } from 'tar-stream';
import type { Header } from 'tar-stream';
import { Readable } from 'node:stream';
import t from 'tap';

import { UPLOAD_BYTES_MAX, UPLOAD_FILES_MAX } from '../../../contract/limits.ts';
import { labelFrom, requireLabel } from '../../../daemon/deploy/label.ts';
import { unpackTar } from '../../../daemon/deploy/upload.ts';

type Entry = Partial<Header> & { name: string; content?: string };

async function tarOf(...entries: Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { content = '', ...header } of entries) archive.entry(header, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function contentsOf(
  source: Buffer | Readable, options?: Parameters<typeof unpackTar>[1],
): Promise<Record<string, string>> {
  const files = await unpackTar(source, options);
  return Object.fromEntries(files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]));
}

/** The size field of the first header, as any bytes; the checksum is made right. */
function withSize(tar: Buffer, size: Buffer): Buffer {
  size.copy(tar, 124);
  tar.fill(' ', 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return tar;
}

t.test('files come in order, folders and dot-files are left out', async (t) => {
  const tar = await tarOf(
    { name: 'src', type: 'directory' },
    { name: './src/main.c', content: 'int x;' },
    { name: '.git/config', content: 'secret' },
    { name: 'node_modules/a/index.ts', content: 'x' },
    { name: 'a.h', content: '' },
  );
  t.same(await contentsOf(tar), { 'src/main.c': 'int x;', 'a.h': '' });
  t.same(await contentsOf(Readable.from([tar.subarray(0, 700), tar.subarray(700)])), {
    'src/main.c': 'int x;', 'a.h': '',
  }, 'in pieces as well');
  const long = `${'folder/'.repeat(30)}file.c`;
  t.same(Object.keys(await contentsOf(await tarOf({ name: long, content: 'x' }))), [long],
    'long names come in PAX headers');
});

t.test('a single file may have any path when asked so, as terrctl sends it', async (t) => {
  for (const name of ['/home/me/hello.c', '../hello.c', 'a/b/hello.c', 'hello.c']) {
    const tar = await tarOf({ name, content: 'x' });
    t.same(await contentsOf(tar, { flattenSingle: true }), { 'hello.c': 'x' });
  }
  const upwards = await tarOf({ name: 'a/..', content: 'x' });
  await t.rejects(contentsOf(upwards, { flattenSingle: true }), { code: 'bad_upload' });
});

t.test('names that lead out of the upload', async (t) => {
  const names = [
    '/etc/passwd', '../a', 'a/../../b', 'a/..', 'a//b', 'a/./b', 'a\\..\\b', 'a\nb', 'a\u0007b',
    `${'x'.repeat(256)}`, '..',
  ];
  for (const name of names) {
    const tar = await tarOf({ name, content: 'x' }, { name: 'ok', content: 'x' });
    await t.rejects(contentsOf(tar), { code: 'bad_upload' }, JSON.stringify(name));
  }
});

t.test('links, devices and the like', async (t) => {
  for (const type of ['symlink', 'link', 'fifo', 'character-device', 'block-device'] as const) {
    const tar = await tarOf({ name: 'a', type, linkname: '/etc/passwd' });
    await t.rejects(contentsOf(tar), {
      code: 'bad_upload', message: `"a" is a ${type}, not a file`,
    });
  }
});

t.test('one path twice, or as file and folder', async (t) => {
  await t.rejects(contentsOf(await tarOf({ name: 'a' }, { name: './a' })), {
    code: 'bad_upload', message: 'the archive holds a path twice',
  });
  await t.rejects(contentsOf(await tarOf({ name: 'a/b' }, { name: 'a' })), {
    code: 'bad_upload', message: '"a" is both a file and a folder',
  });
});

t.test('too much', async (t) => {
  const many = Array.from(
    { length: UPLOAD_FILES_MAX + 1 }, (_, number) => ({ name: `f${number}` }));
  await t.rejects(contentsOf(await tarOf(...many)), {
    code: 'bad_upload', message: `more than ${UPLOAD_FILES_MAX} files`,
  });
  const announced = withSize(await tarOf({ name: 'a', content: 'x' }),
    Buffer.from(`${(UPLOAD_BYTES_MAX + 1).toString(8).padStart(11, '0')} `));
  await t.rejects(contentsOf(announced), {
    code: 'bad_upload', message: `more than ${UPLOAD_BYTES_MAX} bytes when unpacked`,
  }, 'before any of it is read');
  const huge = Buffer.alloc(12, 0xff);
  huge[0] = 0x80;
  await t.rejects(contentsOf(withSize(await tarOf({ name: 'a', content: 'x' }), huge)), {
    code: 'bad_upload',
  });
});

t.test('no archive, or a part of one', async (t) => {
  const tar = await tarOf({ name: 'a', content: 'x'.repeat(5_000) });
  for (const bytes of [
    Buffer.alloc(0), Buffer.from('not a tar'), Buffer.alloc(4_096, 0x41), tar.subarray(0, 3_000),
    tar.subarray(0, 512), Buffer.alloc(1_024),
  ]) {
    await t.rejects(contentsOf(bytes), { code: 'bad_upload' }, `${bytes.length} bytes`);
  }
});

t.test('any archive with any byte changed is files or a refusal', async (t) => {
  const tar = await tarOf({ name: 'a/b.c', content: 'x' }, { name: 'c'.repeat(200), content: 'y' });
  let refused = 0;
  for (let position = 0; position < tar.length; position += 7) {
    const damaged = Buffer.from(tar);
    damaged[position] = (damaged[position] ?? 0) ^ 0x55;
    try {
      for (const path of Object.keys(await contentsOf(damaged))) {
        if (path.startsWith('/') || path.includes('..')) t.fail(path);
      }
    } catch (error) {
      if ((error as { code?: string }).code !== 'bad_upload') throw error;
      refused += 1;
    }
  }
  t.ok(refused > 0);
});

t.test('names of apps', async (t) => {
  t.equal(labelFrom('/home/me/My App.wasm'), 'my-app');
  t.equal(labelFrom('hello_world.rs'), 'hello-world');
  t.equal(labelFrom('---.c'), '');
  t.equal(labelFrom(`${'a'.repeat(62)}--b`), 'a'.repeat(62));
  t.throws(() => requireLabel('api'), { code: 'bad_name', message: 'api is reserved' });
  for (const name of ['a', 'a-1', '1', 'x'.repeat(63)]) t.doesNotThrow(() => requireLabel(name));
});

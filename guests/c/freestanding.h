/*
 * What a guest without a C library needs of one: malloc, calloc, realloc and free for itself and
 * for the host, and the functions that compilers call by themselves. Include it in one source file
 * or in all, and build with -nostdlib. With a C library such as wasi-libc leave it out.
 *
 *     #include "http_hostcalls.h"
 *     #include "freestanding.h"
 *
 *     void run(void)
 *     {
 *         hostcall_init_mm(malloc, free);
 *         ...
 *     }
 *
 * The heap begins where the linker ended the stack and the data, and grows to the end of the
 * memory:
 *
 *     __heap_base                              top                     end of memory
 *     | block | free block | block | ... | block |  never used so far  |
 *
 * Every block starts with its size. Free blocks are linked in the order of their addresses, and
 * neighbours are joined.
 */
#ifndef FREESTANDING_H
#define FREESTANDING_H

#include <stddef.h>
#include <stdint.h>

#define FREESTANDING_WEAK(name) __attribute__((weak, no_builtin(name)))

FREESTANDING_WEAK("memset") void *memset(void *destination, int value, size_t length)
{
    unsigned char *d = (unsigned char *) destination;

    for (size_t i = 0; i < length; i++) {
        d[i] = (unsigned char) value;
    }
    return destination;
}

FREESTANDING_WEAK("memcpy") void *memcpy(void *destination, const void *source, size_t length)
{
    unsigned char *      d = (unsigned char *) destination;
    const unsigned char *s = (const unsigned char *) source;

    for (size_t i = 0; i < length; i++) {
        d[i] = s[i];
    }
    return destination;
}

FREESTANDING_WEAK("memmove") void *memmove(void *destination, const void *source, size_t length)
{
    unsigned char *      d = (unsigned char *) destination;
    const unsigned char *s = (const unsigned char *) source;

    if ((uintptr_t) d < (uintptr_t) s) {
        for (size_t i = 0; i < length; i++) {
            d[i] = s[i];
        }
    } else {
        for (size_t i = length; i > 0; i--) {
            d[i - 1] = s[i - 1];
        }
    }
    return destination;
}

FREESTANDING_WEAK("memcmp") int memcmp(const void *left, const void *right, size_t length)
{
    const unsigned char *l = (const unsigned char *) left;
    const unsigned char *r = (const unsigned char *) right;

    for (size_t i = 0; i < length; i++) {
        if (l[i] != r[i]) {
            return l[i] < r[i] ? -1 : 1;
        }
    }
    return 0;
}

FREESTANDING_WEAK("strlen") size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != 0) {
        length++;
    }
    return length;
}

#define FREESTANDING_PAGE_BYTES ((size_t) 65536)
#define FREESTANDING_ALIGNMENT ((size_t) 16)

struct freestanding_block {
    size_t                     size; /* of the whole block, this header included */
    struct freestanding_block *next; /* while it is free */
    size_t                     padding[2];
};

extern unsigned char __heap_base;

__attribute__((weak)) struct freestanding_block *freestanding_free_blocks;
__attribute__((weak)) size_t freestanding_top;

/* Takes a block from the part of the memory that was never used, growing the memory when needed. */
__attribute__((weak)) struct freestanding_block *freestanding_extend(size_t size)
{
    struct freestanding_block *block;
    size_t                     end = __builtin_wasm_memory_size(0) * FREESTANDING_PAGE_BYTES;

    if (freestanding_top == 0) {
        freestanding_top =
            ((size_t) &__heap_base + FREESTANDING_ALIGNMENT - 1) & ~(FREESTANDING_ALIGNMENT - 1);
    }
    /* A memory of 4 GiB has a size of 0 here: all of it is in use then, and nothing is left to
     * take. */
    if (end < freestanding_top) {
        return NULL;
    }
    if (size > end - freestanding_top) {
        size_t missing = size - (end - freestanding_top);
        size_t pages = missing / FREESTANDING_PAGE_BYTES + (missing % FREESTANDING_PAGE_BYTES != 0);

        if (__builtin_wasm_memory_grow(0, pages) == (size_t) -1) {
            return NULL;
        }
    }
    block = (struct freestanding_block *) freestanding_top;
    block->size = size;
    freestanding_top += size;
    return block;
}

__attribute__((weak)) void *malloc(size_t size)
{
    struct freestanding_block **link = &freestanding_free_blocks;
    struct freestanding_block * block;

    if (size > PTRDIFF_MAX) {
        return NULL;
    }
    size = (size + sizeof *block + FREESTANDING_ALIGNMENT - 1) & ~(FREESTANDING_ALIGNMENT - 1);
    while (*link != NULL && (*link)->size < size) {
        link = &(*link)->next;
    }
    block = *link;
    if (block == NULL) {
        block = freestanding_extend(size);
        return block == NULL ? NULL : block + 1;
    }
    if (block->size - size > sizeof *block) {
        struct freestanding_block *rest = (struct freestanding_block *) ((char *) block + size);

        rest->size = block->size - size;
        rest->next = block->next;
        block->size = size;
        *link = rest;
    } else {
        *link = block->next;
    }
    return block + 1;
}

__attribute__((weak)) void free(void *pointer)
{
    struct freestanding_block *block = (struct freestanding_block *) pointer - 1;
    struct freestanding_block *before = NULL;
    struct freestanding_block *after = freestanding_free_blocks;

    if (pointer == NULL) {
        return;
    }
    while (after != NULL && after < block) {
        before = after;
        after = after->next;
    }
    if (after != NULL && (char *) block + block->size == (char *) after) {
        block->size += after->size;
        after = after->next;
    }
    block->next = after;
    if (before == NULL) {
        freestanding_free_blocks = block;
    } else if ((char *) before + before->size == (char *) block) {
        before->size += block->size;
        before->next = block->next;
    } else {
        before->next = block;
    }
}

__attribute__((weak, no_builtin("calloc"))) void *calloc(size_t count, size_t size)
{
    size_t bytes;
    void * pointer;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    pointer = malloc(bytes);
    return pointer == NULL ? NULL : memset(pointer, 0, bytes);
}

__attribute__((weak)) void *realloc(void *pointer, size_t size)
{
    void * moved;
    size_t room;

    if (pointer == NULL) {
        return malloc(size);
    }
    room = ((struct freestanding_block *) pointer - 1)->size - sizeof(struct freestanding_block);
    if (size <= room) {
        return pointer;
    }
    moved = malloc(size);
    if (moved != NULL) {
        memcpy(moved, pointer, room);
        free(pointer);
    }
    return moved;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that the programs need. Structs that end in ___pg name only the members in
 * use: their offsets are relocated at load time against the running kernel's BTF. The others are
 * wire formats or stable kernel interfaces.
 */
#ifndef PODGATE_KERNEL_H
#define PODGATE_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;

enum {
	false = 0,
	true = 1,
};

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024,
	BPF_RB_NO_WAKEUP = 1,
};

/* include/uapi/linux/netfilter.h */
enum {
	NF_DROP = 0,
	NF_ACCEPT = 1,
	NFPROTO_IPV4 = 2,
	NFPROTO_IPV6 = 10,
};

/* include/uapi/linux/netfilter/nf_conntrack_common.h */
enum {
	CT_ESTABLISHED = 0,
	CT_RELATED = 1,
	CT_NEW = 2,
	CT_ESTABLISHED_REPLY = 3,
	CT_RELATED_REPLY = 4,
	CT_INFO_MASK = 7,
	CT_CONFIRMED = 1 << 3,
	CT_DST_NAT = 1 << 5,
};

struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

/* Never read: libbpf compares the kernel functions' arguments by kind, and a mere declaration differs. */
struct __sk_buff {
	__u32 len;
};

struct net_device___pg;
struct sock___pg;

/* The context of a netfilter program; its two members are rewritten by the verifier. */
struct nf_hook_state;
struct sk_buff;
struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff___pg {
	unsigned int len;
	unsigned long _nfct;
};

struct nf_hook_state___pg {
	__u8 pf;
	struct net_device___pg *in;
	struct net_device___pg *out;
	struct sock___pg *sk;
};

union nf_inet_addr___pg {
	__u32 all[4];
};

union nf_conntrack_man_proto___pg {
	__be16 all;
};

struct nf_conntrack_man___pg {
	union nf_inet_addr___pg u3;
	union nf_conntrack_man_proto___pg u;
};

struct nf_conntrack_tuple___pg {
	struct nf_conntrack_man___pg src;
	struct {
		union nf_inet_addr___pg u3;
		union {
			__be16 all;
		} u;
	} dst;
};

struct nf_conntrack_tuple_hash___pg {
	struct nf_conntrack_tuple___pg tuple;
};

struct nf_conn___pg {
	struct nf_conntrack_tuple_hash___pg tuplehash[2];
	unsigned long status;
};

#pragma clang attribute pop

struct ipv4_header {
	__u8 version_length;
	__u8 tos;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6_header {
	__be32 version_class_label;
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The smallest program that a kernel with netfilter BPF links accepts: tells whether this one does. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("netfilter")
int probe(struct bpf_nf_ctx *ctx)
{
	return NF_ACCEPT;
}

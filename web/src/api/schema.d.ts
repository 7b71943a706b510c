// Written by npm run types from docs/schema/openapi.json.

export interface paths {
    "/api/v1/complete": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What may be written at a place of a policy. */
        post: operations["complete"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/edge": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What policy says of connections between two places, and what was seen of them. */
        get: operations["edge"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The status now, and again whenever it changes. */
        get: operations["events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/findings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What `podgate check` finds. */
        get: operations["findings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/flows": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Flows that were seen, newest first. */
        get: operations["flows"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/flows/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Flows as they come; `lost` where some went before they could be sent. */
        get: operations["flowStream"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/flows/{id}/story": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The whole story of a flow, with the policies of its time where they are known. */
        get: operations["story"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/map": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who may connect to whom and who does, laid out. */
        get: operations["map"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/matrix": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The truth table: expected, measured and observed. */
        get: operations["matrix"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document. */
        get: operations["openapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/places": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every place that answers name, for a search. */
        get: operations["places"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All policies, in the order in which they are asked. */
        get: operations["policies"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/policies/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A policy with its subjects, rules, hits, findings and YAML. */
        get: operations["policy"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/posture": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How much is protected, what is open, and what goes wrong. */
        get: operations["posture"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/recommendations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Policies that fit what was seen. */
        get: operations["recommendations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the page is about and how fresh it is. */
        get: operations["status"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/timeline": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Connections over time. */
        get: operations["timeline"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/what-if": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What a change would do. Nothing is written anywhere. */
        post: operations["whatIf"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/why": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether one end can reach another, and why: the answer of `podgate can -o json`. */
        get: operations["why"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description A problem with a request. */
        ApiError: {
            /** @description What is wrong, where, and what to do. */
            error: string;
        };
        /** @description A stretch of time. */
        Bucket: {
            /**
             * Format: int64
             * @description Connections let through.
             */
            allowed: number;
            /**
             * Format: int64
             * @description Connections denied.
             */
            denied: number;
            /**
             * Format: int64
             * @description Connections that staged policies would deny.
             */
            staged: number;
        };
        /**
         * podgate can -o json
         * @description Whether one end can reach another, and why.
         */
        CanAnswer: {
            answer: components["schemas"]["CanShort"];
            /** @description The connections in question; what is alike stands together. */
            connections: components["schemas"]["CanGroup"][];
            /** @description Why, for one connection that is denied and for one that is allowed. */
            explanations: components["schemas"]["CanExplained"][];
            /** @description Who connects, as podgate calls it. */
            from: string;
            /** @description Groups that connections leaves out. */
            moreConnections?: number;
            notes?: string[];
            /** @description On which port, as asked; absent: on any. */
            port?: string;
            /** @description How the Service's ports lead to its pods. */
            servicePorts?: {
                name?: string;
                podPorts: number[];
                port: number;
                /** @enum {unknown} */
                protocol: "TCP" | "UDP" | "SCTP";
            }[];
            /** @description To whom. */
            to: string;
        };
        /** @description The smallest change found that allows it, tried with the engine. */
        CanChange: {
            allows: string;
            alsoOpens: string[];
            /** @description All of them are needed. */
            edits: {
                /** @description file:line; absent for a new policy. */
                at?: string;
                policy: string;
                what: string;
                yaml: string;
            }[];
            /** @description Lines that alsoOpens leaves out. */
            more: number;
        };
        /** @description One connection with everything that was asked on the way to its verdict. */
        CanExplained: {
            change?: components["schemas"]["CanChange"];
            egress: components["schemas"]["CanSide"];
            family: components["schemas"]["CanFamily"];
            /** @description What keeps a NetworkPolicy from allowing it, and what has to change instead. */
            forbidden?: string[];
            from: string;
            hints?: string[];
            ingress: components["schemas"]["CanSide"];
            /** @description Rules that almost allow it, nearest first. */
            near?: {
                /** @description file:line */
                at: string;
                rule: string;
                why: string;
            }[];
            /** @description The pod's port: `TCP/8080`. */
            port: string;
            to: string;
            verdict: components["schemas"]["CanVerdict"];
        };
        /** @enum {unknown} */
        CanFamily: "IPv4" | "IPv6";
        /** @description Connections from each of `from` to each of `to`. */
        CanGroup: {
            /** @description Ports of those in question: `TCP 80,443`, `all`, `none`. */
            allowed: string;
            answer: components["schemas"]["CanShort"];
            denied: string;
            family?: components["schemas"]["CanFamily"];
            from: string[];
            /** @description Sources that from leaves out. */
            moreFrom?: number;
            moreTo?: number;
            to: string[];
        };
        /**
         * @description yes: all connections in question are allowed; without a port, each pair has one that is.
         * @enum {unknown}
         */
        CanShort: "yes" | "no" | "partly";
        CanSide: {
            /** @description The policies that select the end, in the order in which they are asked. */
            policies?: {
                /** @description Nothing before it decided. */
                asked: boolean;
                at: string;
                kind: string;
                policy: string;
                priority?: number;
                rules: {
                    at: string;
                    decides: boolean;
                    /** @enum {unknown} */
                    effect: "allow" | "deny" | "pass";
                    matches: boolean;
                    peer: boolean;
                    port: boolean;
                    rule: string;
                    /** @description The rule in words. */
                    says: string;
                }[];
                /** @enum {unknown} */
                tier: "Admin" | "NetworkPolicy" | "Baseline";
            }[];
            reason: string;
            verdict: components["schemas"]["CanVerdict"];
        };
        /** @enum {unknown} */
        CanVerdict: "allowed" | "denied";
        /** @description A change to try. Nothing is written anywhere. */
        Candidate: {
            /** @description Ids of policies that are deleted. */
            deleted?: string[];
            /** @description What is written anew or besides, in order. */
            edits?: components["schemas"]["Edit"][];
            /** @description Flows since then are replayed: a time, or a length such as `24h`; all that are kept without it. */
            since?: string;
        };
        /** @description A cell of the table. */
        Cell: {
            /**
             * Format: int32
             * @description The party that connects.
             */
            from: number;
            /**
             * Format: int32
             * @description The party it connects to.
             */
            to: number;
        };
        CheckFinding: {
            /** @description The check's id: podgate check --list. */
            check: string;
            /** @description Stays when lines around it move. */
            fingerprint: string;
            fix?: components["schemas"]["CheckFix"];
            /** @description What is wrong, with names. */
            message: string;
            object: components["schemas"]["CheckObject"];
            related?: components["schemas"]["CheckRelated"][];
            /** @enum {unknown} */
            severity: "error" | "warning" | "info";
            source: components["schemas"]["CheckPlace"];
            /** @description The page that explains the check. */
            url: string;
            /** @description Why it matters. */
            why: string;
        };
        CheckFix: {
            description: string;
            /** @description What --fix writes: these lines are replaced. */
            edit?: {
                file: string;
                first: number;
                last: number;
                replacement: string;
            };
            /** @description What to write; absent when the description says it all. */
            yaml?: string;
        };
        CheckObject: {
            /** @description Empty when no object could be read. */
            kind: string;
            name: string;
            /** @description Empty for cluster-scoped kinds. */
            namespace: string;
        };
        CheckPlace: {
            /** @description From 1, in characters; 0: the whole line. */
            column: number;
            file: string;
            /** @description From 1; 0: the whole file, or not from a file. */
            line: number;
        };
        CheckRelated: {
            source: components["schemas"]["CheckPlace"];
            text: string;
        };
        /** @description A place of a policy where somebody writes. */
        CompleteAt: {
            /**
             * Format: int32
             * @description 0-based, in characters.
             */
            column: number;
            /**
             * Format: int32
             * @description 0-based.
             */
            line: number;
            /** @description The documents as they are. */
            yaml: string;
        };
        /** @description Something that may be written. */
        Completion: {
            /** @description What it means, in a sentence. */
            help: string;
            /** @description `field`, `value`, `namespace`, `label`. */
            kind: string;
            /** @description The text. */
            text: string;
        };
        /** @description What may be written at a place of a policy. */
        Completions: {
            /**
             * Format: int32
             * @description Where the word that they replace begins: 0-based column.
             */
            from: number;
            /** @description What may be written, likeliest first. */
            items: components["schemas"]["Completion"][];
        };
        /** @description How many there are. */
        Counts: {
            /** @description Namespaces. */
            namespaces: number;
            /** @description Pods. */
            pods: number;
            /** @description Policies of all kinds, the staged ones too. */
            policies: number;
            /** @description Services. */
            services: number;
            /** @description Those that are staged. */
            staged: number;
            /** @description Workloads. */
            workloads: number;
        };
        /** @description Denied connections between two places on one port. */
        DenialLine: {
            /**
             * Format: int64
             * @description How many came through in the window before, where most did: what worked and was cut comes first. Else 0.
             */
            before: number;
            /** @description What denied it, in words. */
            by: string;
            /**
             * Format: int64
             * @description How many.
             */
            count: number;
            /** @description Who connected. */
            from: components["schemas"]["Place"];
            /**
             * Format: date-time
             * @description When it was last.
             */
            last: string;
            /**
             * Format: int32
             * @description The destination's port; 0: none.
             */
            port: number;
            /** @description `TCP`, `UDP`, …. */
            protocol: string;
            /** @description Id of that record. */
            record: string;
            /** @description To whom. */
            to: components["schemas"]["Place"];
        };
        /** @description Connections that were denied. */
        Denials: {
            /**
             * Format: int64
             * @description All of them, those included that the kernel only counted.
             */
            count: number;
            /** @description Where most were, twenty at most. */
            top: components["schemas"]["DenialLine"][];
        };
        /**
         * podgate diff -o json
         * @description What changes between two sets of manifests.
         */
        DiffAnswer: {
            connections: {
                after: components["schemas"]["DiffPorts"];
                before: components["schemas"]["DiffPorts"];
                causes: components["schemas"]["DiffCause"][];
                /**
                 * @description Set where the other family is not the same.
                 * @enum {unknown}
                 */
                family?: "IPv4" | "IPv6";
                from: components["schemas"]["DiffEnds"];
                /** @enum {unknown} */
                kind: "opened" | "closed" | "changed";
                to: components["schemas"]["DiffEnds"];
                /** @description One end is a workload that came or went. */
                workloadChanged: boolean;
            }[];
            /** @description What the internet reaches now and did not reach before. */
            exposed: {
                ports: string;
                source?: string;
                through?: string;
                workload: string;
            }[];
            workloadsAdded: {
                source: string;
                workload: string;
            }[];
            workloadsRemoved: {
                source: string;
                workload: string;
            }[];
        };
        DiffCause: {
            /** @enum {unknown} */
            direction: "egress" | "ingress";
            /** @enum {unknown} */
            effect: "ruleAllows" | "ruleDenied" | "noLongerIsolated" | "ruleDenies" | "ruleAllowed" | "isolated";
            policies: string[];
            /** @description The rule's 0-based place. */
            rule?: number;
            /** @description Where it is written: in the old input for what is gone, in the new one for everything else. */
            sources: string[];
            /** @enum {unknown} */
            state: "new" | "changed" | "gone" | "unchanged";
        };
        /** @description A set of ends. */
        DiffEnds: {
            /** @description Addresses outside: `anywhere`, `internet`, networks, ranges, `anywhere but 10.0.0.0/8`. */
            addresses?: string[];
            /** @description All pods of the cluster are in it, but for `except`. Pods in the host network are named in `workloads` if they are in it. */
            allPods?: boolean;
            /** @description Domain names whose addresses are not known. */
            domains?: string[];
            /** @description Workloads that are not in it. */
            except?: string[];
            /** @description Namespaces of which all pods are in it, but for `except`. */
            namespaces?: string[];
            /** @description Workloads beside those: `namespace/name[Kind]`, with pods in brackets where policy tells them apart. */
            workloads?: string[];
        };
        DiffPorts: {
            /** @description In words: `TCP 80,443, UDP 53`, `all`, `none`, `all but TCP 80`. */
            ports: string;
            /** @description TCP, UDP and SCTP ports in numbers. */
            ranges: components["schemas"]["DiffRange"][];
        };
        DiffRange: {
            first: number;
            last: number;
            /** @enum {unknown} */
            protocol: "TCP" | "UDP" | "SCTP";
        };
        /** @description Where expected, measured and observed are not the same. */
        Disagreement: {
            /** @description What policy says. */
            expected: string;
            /** @description Who connects. */
            from: components["schemas"]["Place"];
            /** @description What a probe found. */
            measured?: string;
            /** @description What the last flow under these policies was. */
            observed?: string;
            /**
             * Format: int32
             * @description Port.
             */
            port: number;
            /** @description `TCP`, `UDP`, …. */
            protocol: string;
            /** @description What that means, in a sentence. */
            text: string;
            /** @description To whom. */
            to: components["schemas"]["Place"];
        };
        /** @description An edge, looked into. */
        EdgeDetails: {
            /** @description Who connects. */
            from: components["schemas"]["Place"];
            /** @description The newest records, fifty at most. */
            records: components["schemas"]["FlowRecord"][];
            /** @description What was seen. */
            seen: components["schemas"]["Seen"];
            /** @description To whom. */
            to: components["schemas"]["Place"];
            /** @description Why it can't say. */
            untold?: string;
            /** @description What policy says, rule by rule; absent where an end is unknown to it. */
            why?: components["schemas"]["CanAnswer"];
        };
        /** @description YAML that is written. */
        Edit: {
            /** @description The id of the policy that it replaces, where its name may have changed. */
            replaces?: string;
            /** @description Documents. */
            yaml: string;
        };
        /** @description A workload that the internet reaches, or that reaches the internet. */
        Exposed: {
            /** @description The addresses, as policy tells them apart. */
            addresses: string[];
            /** @description `ingress`: the internet connects to it; `egress`: it connects to the internet. */
            direction: string;
            /** @description On these ports. */
            ports: string;
            /** @description What leads there, such as `Service shop/web (LoadBalancer)`; empty where policy alone lets it in. */
            through: string;
            /** @description The workload. */
            workload: components["schemas"]["Place"];
        };
        /** @description A field to filter by. */
        Facet: {
            /** @description The parameter of /flows: `verdict`, `namespace`, `workload`, `policy`, `port`, `protocol`, `node`. */
            field: string;
            /** @description Its commonest values, twelve at most. */
            values: components["schemas"]["FacetValue"][];
        };
        /** @description A value of a field. */
        FacetValue: {
            /**
             * Format: int64
             * @description How many records have it.
             */
            count: number;
            /** @description The value. */
            value: string;
        };
        /** @description Findings by severity. */
        FindingCounts: {
            /** @description Cannot work as written. */
            error: number;
            /** @description Worth knowing. */
            info: number;
            /** @description Most likely a mistake. */
            warning: number;
        };
        /** @description What `podgate check` finds. */
        FindingList: {
            /** @description The worst first. */
            findings: components["schemas"]["CheckFinding"][];
            /**
             * Format: int64
             * @description The objects that it is about.
             */
            revision: number;
        };
        /** @description What one direction decided, and why. */
        FlowDecision: {
            /** @description A rule's list. */
            list?: components["schemas"]["FlowList"];
            nearest?: components["schemas"]["FlowNearMiss"];
            /** @description Every policy that isolates. */
            policies?: components["schemas"]["FlowPolicy"][];
            /** @description A rule's policy. */
            policy?: components["schemas"]["FlowPolicy"];
            /** @enum {unknown} */
            reason: "rule" | "isolated" | "not-isolated" | "icmp-echo" | "own-node" | "unknown-pod" | "unreadable" | "table-full" | "incomplete" | "not-a-pod" | "itself" | "forgotten";
            /** @description A rule's 0-based place in the list. */
            rule?: number;
            /**
             * @description When a rule's policy is asked; absent: NetworkPolicies.
             * @enum {unknown}
             */
            tier?: "Admin" | "Baseline";
            verdict: components["schemas"]["FlowVerdict"];
            /** @description `file:line:column` of a rule, where known. */
            written?: string;
        };
        FlowEndpoint: {
            /** @description Names that DNS answers gave to the address. */
            dns?: string[];
            ip: string;
            /**
             * @description Whose address it is.
             * @enum {unknown}
             */
            kind: "pod" | "node" | "outside";
            /** @description A pod's; absent: none. */
            labels?: {
                [key: string]: string;
            };
            /** @description A name that was given to an address outside. */
            name?: string;
            /** @description A pod's. */
            namespace?: string;
            /** @description The node that a pod runs on, or the node's own name. */
            node?: string;
            owner?: components["schemas"]["FlowOwner"];
            /** @description A pod's name. */
            pod?: string;
            /** @description 0 for protocols without ports. */
            port: number;
        };
        /** @enum {unknown} */
        FlowList: "ingress" | "egress";
        /** @description A rule that almost allowed it. */
        FlowNearMiss: {
            /** @description What is missing, in words. */
            but: string;
            list: components["schemas"]["FlowList"];
            policy: components["schemas"]["FlowPolicy"];
            rule: number;
        };
        /** @description The workload that made a pod. */
        FlowOwner: {
            kind: string;
            name: string;
        };
        /** @description Some flows, newest first. */
        FlowPage: {
            /** @description Values to filter by, counted over those that fit. */
            facets: components["schemas"]["Facet"][];
            /** @description What is missing. */
            losses: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description How many fit the filter in the window.
             */
            matching: number;
            /** @description What `before` of the next page is; absent on the last. */
            next?: string;
            /** @description The records. */
            records: components["schemas"]["FlowRecord"][];
            /**
             * Format: int64
             * @description How many there are in the window.
             */
            total: number;
        };
        FlowPolicy: {
            /** @description `NetworkPolicy` or a cluster-scoped kind. */
            kind: string;
            name: string;
            /** @description Empty for cluster-scoped kinds. */
            namespace: string;
        };
        /**
         * a flow record
         * @description One connection with its verdict, and what decided.
         */
        FlowRecord: {
            /** @description Address and port that the client asked for, when a Service translated it. */
            asked?: string;
            /** @description An established connection that a policy change cut; absent: no. */
            cut?: boolean;
            /** @description Who was reached, after Service translation. */
            destination: components["schemas"]["FlowEndpoint"];
            /** @description The source's policies; absent where it has none to ask. */
            egress?: components["schemas"]["FlowDecision"];
            /** @description ICMP type and code. */
            icmp?: number[];
            /** @description Tells this record from all others; absent where it never got one. */
            id?: string;
            /** @description The destination's policies; absent where it has none, was never reached, or was not heard of. */
            ingress?: components["schemas"]["FlowDecision"];
            /** @description The node that reported it; the one that denied it, when one did. */
            node: string;
            /** @description The policies in force, as 16 hexadecimal digits; absent: unknown. */
            policyVersion?: string;
            /** @description `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, or the number. */
            protocol: string;
            /** @description The judged packet went from the destination to the source; absent: no. */
            reply?: boolean;
            service?: components["schemas"]["FlowService"];
            /** @description Who opened the connection. */
            source: components["schemas"]["FlowEndpoint"];
            staged?: components["schemas"]["FlowStaged"];
            /** @description Like events that the kernel counted rather than reported since the last one; absent: none. */
            suppressed?: number;
            /** @description Flags of the judged packet, such as `SYN,ACK`; absent for other protocols. */
            tcpFlags?: string;
            /** @description When its first packet was judged: RFC 3339, UTC, microseconds. */
            time: string;
            /**
             * @description Denied as soon as one direction denies; unknown: one end let it through and the other was not heard of.
             * @enum {unknown}
             */
            verdict: "allowed" | "denied" | "unknown";
        };
        /** @description The Service that the client asked for. */
        FlowService: {
            name: string;
            namespace: string;
            /** @description The Service's or the node port. */
            port: number;
        };
        /** @description What it would be if the staged policies were enforced, where that differs. Never a part of the verdict. */
        FlowStaged: {
            egress?: components["schemas"]["FlowDecision"];
            ingress?: components["schemas"]["FlowDecision"];
            verdict: components["schemas"]["FlowVerdict"];
        };
        /**
         * podgate why -o json
         * @description The whole story of a connection that was seen.
         */
        FlowStory: {
            /** @description What was recorded. */
            record: components["schemas"]["FlowRecord"];
            told?: components["schemas"]["WhyTold"];
            /** @description Why the engine can't tell it. */
            untold?: string;
        };
        /** @enum {unknown} */
        FlowVerdict: "allowed" | "denied";
        /** @description What is known of flows. */
        FlowsStatus: {
            /**
             * Format: int64
             * @description Records that can be asked for.
             */
            kept: number;
            /** @description What is missing: `kernel`, `suppressed`, `disk`, `export`, `nodes`, each a number. */
            losses: {
                [key: string]: number;
            };
            /**
             * Format: date-time
             * @description The newest.
             */
            newest?: string;
            /**
             * Format: date-time
             * @description The oldest of them.
             */
            oldest?: string;
            /** @description Why flows don't come any more; absent while they do. */
            trouble?: string;
        };
        /** @description An edge of a map: from one node to another. */
        MapEdge: {
            /** @description Ports that policy allows; empty: none. */
            allowed: string;
            /**
             * @description Policy allows nothing on it and connections were denied, as on more edges of one of its ends than one can tell
             *     apart: somebody tries everything, or everybody tries one. Never so where something was `cut`.
             */
            crowded?: boolean;
            /** @description On some port connections came through at least as often as not, and the last was denied. */
            cut?: boolean;
            /** @description It is one of a hub's many edges that lead to it, or from it. */
            folded: boolean;
            /** @description Index of the node that connects. */
            from: number;
            /** @description What was seen in the window; absent where nothing is watched. */
            seen?: components["schemas"]["Seen"];
            /** @description Index of the node that is connected to. */
            to: number;
            /** @description It is allowed only because no policy has a say. */
            unprotected: boolean;
        };
        /** @description A namespace as a box. */
        MapGroup: {
            /**
             * Format: double
             * @description Height.
             */
            h: number;
            /** @description The namespace; empty for what is outside of the cluster. */
            name: string;
            /**
             * Format: double
             * @description Width.
             */
            w: number;
            /**
             * Format: double
             * @description Left.
             */
            x: number;
            /**
             * Format: double
             * @description Top.
             */
            y: number;
        };
        /** @description A node of a map. */
        MapNode: components["schemas"]["Place"] & {
            /** @description Its edges that are `crowded`, with those that were left out. */
            crowded: number;
            /** @description Some policy has a say about where all of it connects to. */
            egress: boolean;
            /** @description Findings about it or its policies. */
            findings: number;
            /** @description Index of its box. */
            group?: number;
            /**
             * Format: double
             * @description Height.
             */
            h: number;
            /**
             * @description Nearly everybody connects to it, or it to nearly everybody, and so its edges are folded: `dns`, `ingress`,
             *     `monitoring`, `outside`, `hub`.
             */
            hub?: string;
            /** @description Some policy has a say about who connects to all of it. */
            ingress: boolean;
            /** @description Pods in it. */
            pods: number;
            /**
             * Format: double
             * @description Width.
             */
            w: number;
            /**
             * Format: double
             * @description Left.
             */
            x: number;
            /**
             * Format: double
             * @description Top.
             */
            y: number;
        };
        /** @description A map, laid out. Lengths are in the map's own unit; a node is about 24 of them high. */
        MapView: {
            /** @description The edges, those that matter most first. Edges of folded hubs are among them. */
            edges: components["schemas"]["MapEdge"][];
            /** @description Namespaces as boxes; none where they are nodes. */
            groups: components["schemas"]["MapGroup"][];
            /**
             * Format: double
             * @description Height.
             */
            height: number;
            /** @description How many edges were left out. */
            moreEdges: number;
            /** @description The nodes. */
            nodes: components["schemas"]["MapNode"][];
            /**
             * Format: int64
             * @description The objects it shows.
             */
            revision: number;
            /** @description Its scope. */
            scope: components["schemas"]["Scope"];
            /**
             * Format: double
             * @description Width.
             */
            width: number;
        };
        /** @description A row and column of the table. */
        MatrixParty: components["schemas"]["Place"] & {
            /** @description Pods in it; 0 for what is outside. */
            pods: number;
        };
        /** @description Ports on which connections are allowed. */
        MatrixVerdict: {
            /** @description IPv6 ports in words, where they are not the same. */
            ipv6?: string;
            /** @description In numbers too. */
            named: components["schemas"]["DiffPorts"];
            /** @description Policy tells the pods of an end apart: the ports are those of some pods. /why has which. */
            partly?: boolean;
            /** @description In words: `none`, `all`, `TCP 80,443`; for both families where they are the same. */
            ports: string;
        };
        /**
         * @description The truth table: who may connect to whom on which ports. Parties that policy can't tell apart share a row or a
         *     column: the cell of `rows[from]` and `columns[to]` is a place in `verdicts`.
         */
        MatrixView: {
            /** @description For each party its column. */
            columns: number[];
            /** @description Where these are not the same, all of them. */
            disagreements: components["schemas"]["Disagreement"][];
            /** @description Connections that a probe tried. */
            measured: components["schemas"]["Probed"][];
            /** @description Connections that were seen in the window, where that is known. */
            observed: components["schemas"]["Observed"][];
            /** @description Workloads by namespace and name, then what is outside. */
            parties: components["schemas"]["MatrixParty"][];
            /**
             * Format: int64
             * @description The objects it is about.
             */
            revision: number;
            /** @description For each party its row; `null`: it never connects (a domain name). */
            rows: (number | null)[];
            /**
             * @description The cells, row by row: each a place in `verdicts`, and of how many columns in a row it is the cell; and so on.
             *     Most of a large table is denied, and so short.
             */
            runs: number[][];
            /** @description Port sets; the first is none. */
            verdicts: components["schemas"]["MatrixVerdict"][];
        };
        /** @description A probe with real connections. */
        Measured: {
            /**
             * Format: date-time
             * @description When it ended.
             */
            at: string;
            /**
             * Format: int64
             * @description Those that ended otherwise than expected.
             */
            disagree: number;
            /**
             * Format: int64
             * @description Connections that were tried.
             */
            tried: number;
        };
        /** @description Flows that a reader of the stream didn't get. */
        Missed: {
            /**
             * Format: int64
             * @description How many came since the last that was sent, and went before they could be; filters aside.
             */
            missed: number;
        };
        /** @description How much of a namespace is protected. */
        NamespacePosture: {
            /**
             * Format: int64
             * @description Connections denied in the window, at either end.
             */
            denied: number;
            /** @description Those where one has a say about where they connect to. */
            egress: number;
            /** @description Findings. */
            findings: number;
            /** @description Those that the internet may connect to. */
            fromInternet: number;
            /** @description Those where a policy has a say about who connects to them. */
            ingress: number;
            /** @description Its name; empty for all together. */
            namespace: string;
            /** @description Those that may connect to the internet. */
            toInternet: number;
            /** @description Workloads that policies can protect: those in the host network are not among them. */
            workloads: number;
        };
        /** @description A node that enforces. */
        NodeState: {
            /** @description Its policies are in its kernel. */
            inForce: boolean;
            /** @description Its name. */
            name: string;
            /** @description What is not as it should be; empty: nothing. */
            trouble: string;
        };
        /** @description Connections that were seen. */
        Observed: components["schemas"]["Cell"] & {
            /**
             * Format: int64
             * @description How many were let through.
             */
            allowed: number;
            /**
             * Format: int64
             * @description How many were denied.
             */
            denied: number;
            /**
             * Format: int32
             * @description Port.
             */
            port: number;
            /** @description `TCP`, `UDP`, …. */
            protocol: string;
        };
        /**
         * @description Where objects are from.
         * @enum {string}
         */
        Origin: "files" | "lab" | "cluster";
        /** @description An end of connections as the page names it. */
        Place: {
            /** @description What `from` and `to` of /why accept for it: `shop/Deployment/web`, an address. */
            end: string;
            /** @description Tells it from all others, the same in every answer: `shop/web[Deployment]`, `node a`, `internet`. */
            id: string;
            /** @description Kind of the workload, `Namespace`, `Pod`, `Node`, or `Outside`. */
            kind: string;
            /** @description Name. */
            name: string;
            /** @description Namespace; empty for what has none. */
            namespace: string;
        };
        /** @description Every place that answers name. */
        Places: {
            /** @description Namespaces, workloads, nodes and what is outside, by namespace and name. */
            places: components["schemas"]["Place"][];
            /**
             * Format: int64
             * @description The objects they are from.
             */
            revision: number;
        };
        /** @description A policy, looked into. */
        PolicyDetails: components["schemas"]["PolicySummary"] & {
            /** @description The file it is written in; empty where there is none. */
            file: string;
            /** @description Findings about it. */
            findingList: components["schemas"]["CheckFinding"][];
            /**
             * Format: int32
             * @description The line of the file that is `yaml`'s first.
             */
            firstLine: number;
            /**
             * Format: int64
             * @description Connections that its isolation denied; absent where nothing is watched.
             */
            isolated?: number;
            /** @description Its rules, in order, ingress first. */
            ruleList: components["schemas"]["RuleSummary"][];
            /** @description Workloads it selects. */
            selected: components["schemas"]["Subject"][];
            /** @description Its YAML: as written where that is known, and else as the API server has it. */
            yaml: string;
        };
        /**
         * @description Kinds of policies.
         * @enum {string}
         */
        PolicyKind: "NetworkPolicy" | "ClusterNetworkPolicy" | "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy";
        /** @description All policies. */
        PolicyList: {
            /** @description In the order in which they are asked: by tier, priority, namespace and name. */
            policies: components["schemas"]["PolicySummary"][];
            /**
             * Format: int64
             * @description The objects they are from.
             */
            revision: number;
        };
        /** @description A policy in the list. */
        PolicySummary: {
            /** @description It has a say about outgoing ones. */
            egress: boolean;
            /** @description Findings of `check` about it. */
            findings: number;
            /**
             * Format: int64
             * @description Connections of the window that its rules or its isolation decided; absent where nothing is watched.
             */
            hits?: number;
            /** @description `NetworkPolicy/shop/web`, `ClusterNetworkPolicy//guard`: what /policies/{id} takes, each part encoded. */
            id: string;
            /** @description It has a say about incoming connections. */
            ingress: boolean;
            /** @description Its kind. */
            kind: components["schemas"]["PolicyKind"];
            /** @description Name. */
            name: string;
            /** @description Namespace; empty for cluster-scoped kinds. */
            namespace: string;
            /**
             * Format: int32
             * @description Priority in the tier, for kinds that have one.
             */
            priority?: number;
            /** @description Its rules. */
            rules: number;
            /** @description `file:line` of it. */
            source: string;
            /** @description It is evaluated and doesn't decide. */
            staged: boolean;
            /** @description Workloads it selects. */
            subjects: number;
            /** @description `Admin`, `NetworkPolicy` or `Baseline`. */
            tier: string;
        };
        /** @description How much of the cluster is protected, what is open, and what goes wrong now. */
        Posture: {
            /** @description Connections that were denied in the window. */
            denials: components["schemas"]["Denials"];
            /**
             * Format: int64
             * @description All of these.
             */
            disagreementCount: number;
            /** @description Where expected, measured and observed are not the same, a hundred at most. */
            disagreements: components["schemas"]["Disagreement"][];
            /** @description What the internet reaches, and who reaches the internet. */
            exposed: components["schemas"]["Exposed"][];
            /** @description Findings of `check`, by severity. */
            findings: components["schemas"]["FindingCounts"];
            /** @description Events that are missing in all of this. */
            losses: {
                [key: string]: number;
            };
            /** @description Each namespace with workloads, by name. */
            namespaces: components["schemas"]["NamespacePosture"][];
            /**
             * Format: int64
             * @description The objects it is about.
             */
            revision: number;
            /** @description What staged policies would do. */
            staged: components["schemas"]["StagedPosture"];
            /** @description All namespaces together. */
            total: components["schemas"]["NamespacePosture"];
            /** @description Rules that allowed nothing in the window, where flows are watched. */
            unusedRules?: number;
            /** @description The worst of them, ten at most. */
            worst: components["schemas"]["CheckFinding"][];
        };
        /** @description What a probe tried: every pod of the one with every pod of the other. */
        Probed: components["schemas"]["Cell"] & {
            /**
             * Format: int64
             * @description How many connections came through.
             */
            allowed: number;
            /**
             * Format: int64
             * @description How many didn't.
             */
            denied: number;
            /**
             * Format: int32
             * @description Port.
             */
            port: number;
            /** @description `TCP`, `UDP`, …. */
            protocol: string;
        };
        /** @description Something that could not be read as it is written. */
        Problem: {
            /**
             * Format: int32
             * @description From 1; 0: unknown.
             */
            column: number;
            /** @description The file, or the origin's name. */
            file: string;
            /**
             * Format: int32
             * @description From 1; 0: unknown.
             */
            line: number;
            /** @description What is wrong, and what to write. */
            message: string;
            /** @description `error` or `warning`. */
            severity: string;
        };
        /** @description Policies that fit what was seen. */
        Recommendation: {
            /** @description The policies, by workload. */
            policies: components["schemas"]["RecommendedPolicy"][];
            /**
             * Format: int64
             * @description The objects that it is made for.
             */
            revision: number;
            /** @description What was seen and what not, one sentence each. */
            statement: string[];
        };
        /** @description A policy that fits what was seen. */
        RecommendedPolicy: {
            /**
             * Format: int64
             * @description Connections that it was made from.
             */
            connections: number;
            /** @description What to know before using it. */
            warnings: string[];
            /** @description Id of the workload it is for. */
            workload: string;
            /** @description The policy. */
            yaml: string;
        };
        /**
         * podgate replay -o json
         * @description What candidate policies would do to flows that were seen.
         */
        ReplayAnswer: {
            cut: components["schemas"]["ReplayChange"][];
            kept: {
                allowed: number;
                denied: number;
            };
            keptFlows: components["schemas"]["ReplayKeptFlow"][];
            lost: components["schemas"]["ReplayLost"];
            opened: components["schemas"]["ReplayChange"][];
            records: number;
            replies: number;
            unjudged: components["schemas"]["ReplayUnjudged"][];
            window?: components["schemas"]["ReplayWindow"];
        };
        ReplayChange: {
            addresses?: string[];
            connections: number;
            egress: components["schemas"]["ReplaySide"];
            first: string;
            from: string;
            ingress: components["schemas"]["ReplaySide"];
            last: string;
            moreAddresses?: number;
            port: number;
            protocol: string;
            to: string;
        };
        ReplayKeptFlow: {
            addresses?: string[];
            connections: number;
            first: string;
            from: string;
            last: string;
            moreAddresses?: number;
            port: number;
            protocol: string;
            to: string;
            /** @enum {unknown} */
            verdict: "allowed" | "denied";
        };
        ReplayLost: {
            files?: number;
            flows: number;
            nodes?: number;
            sinceStart?: boolean;
            suppressed: number;
        };
        ReplaySide: {
            by: string;
            /** @enum {unknown} */
            verdict: "allowed" | "denied";
        };
        ReplayUnjudged: {
            addresses?: string[];
            connections: number;
            first: string;
            from: string;
            last: string;
            moreAddresses?: number;
            port: number;
            protocol: string;
            to: string;
            why: string;
        };
        ReplayWindow: {
            first: string;
            last: string;
        };
        /** @description A rule of a policy. */
        RuleSummary: {
            /** @description `allow`, `deny` or `pass`. */
            effect: string;
            /**
             * Format: int64
             * @description Connections of the window that it decided; absent where nothing is watched.
             */
            hits?: number;
            /**
             * Format: int32
             * @description Its 0-based place in the list.
             */
            index: number;
            /**
             * Format: int32
             * @description Its line in the file; 0: unknown.
             */
            line: number;
            /** @description `ingress` or `egress`. */
            list: string;
            /** @description What it says, in words. */
            says: string;
        };
        /**
         * @description How far a map looks into the cluster.
         * @enum {string}
         */
        Scope: "namespaces" | "workloads" | "pods";
        /** @description What was seen. */
        Seen: {
            /**
             * Format: int64
             * @description Connections let through.
             */
            allowed: number;
            /**
             * Format: int64
             * @description Bytes both ways, from the kernel's totals; 0 where they are not kept.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Connections denied.
             */
            denied: number;
            /**
             * Format: date-time
             * @description When the last was seen.
             */
            last?: string;
            /**
             * Format: int64
             * @description Connections that staged policies would deny.
             */
            staged: number;
        };
        /** @description What staged policies would do. */
        StagedPosture: {
            /** @description How many there are. */
            policies: number;
            /**
             * Format: int64
             * @description Connections of the window that they would deny.
             */
            wouldDeny: number;
        };
        /** @description What the page is about and how fresh it is. */
        Status: {
            /** @description How many there are of what. */
            counts: components["schemas"]["Counts"];
            /** @description Flows; absent where nothing is watched. */
            flows?: components["schemas"]["FlowsStatus"];
            /** @description The last probe with real connections; absent where there was none. */
            measured?: components["schemas"]["Measured"];
            /** @description What the objects are called: a directory, a lab, a cluster. */
            name: string;
            /** @description Nodes that enforce. */
            nodes: components["schemas"]["NodeState"][];
            /**
             * Format: date-time
             * @description The server's clock.
             */
            now: string;
            /** @description Where the objects are from. */
            origin: components["schemas"]["Origin"];
            /** @description What could not be read as it is written. */
            problems: components["schemas"]["Problem"][];
            /**
             * Format: int64
             * @description Counts changes of the objects; answers with the same revision fit together.
             */
            revision: number;
            /** @description Why the source has not been heard lately, and since when; absent while it is. */
            stale?: string;
            /** @description podgate's version. */
            version: string;
        };
        /** @description A workload that a policy selects. */
        Subject: components["schemas"]["Place"] & {
            /** @description All its pods. */
            of: number;
            /** @description Its pods that are selected. */
            pods: number;
        };
        /** @description Connections over time. */
        Timeline: {
            /** @description The buckets. */
            buckets: components["schemas"]["Bucket"][];
            /**
             * Format: int64
             * @description Length of a bucket in seconds.
             */
            seconds: number;
            /**
             * Format: date-time
             * @description When the first bucket begins.
             */
            since: string;
        };
        /** @description What a candidate would do. */
        WhatIf: {
            /** @description Cells of the matrix that change. */
            cells: components["schemas"]["WhatIfCell"][];
            /** @description What opens and what closes. */
            diff: components["schemas"]["DiffAnswer"];
            /** @description Findings that it mends. */
            mendedFindings: components["schemas"]["CheckFinding"][];
            /** @description Findings that it adds. */
            newFindings: components["schemas"]["CheckFinding"][];
            /** @description The change as a unified diff of the files, for `git apply` or `patch -p1`; new policies are new files. */
            patch: string;
            /** @description What could not be read as it is written; lines are those of the edit. */
            problems: components["schemas"]["Problem"][];
            /** @description What it would do to flows that were seen; absent where nothing is watched. */
            replay?: components["schemas"]["ReplayAnswer"];
            /**
             * Format: int64
             * @description The objects that it was tried on.
             */
            revision: number;
        };
        /** @description A cell of the matrix that changes; its ends are ids. */
        WhatIfCell: {
            /** @description Ports then. */
            after: string;
            /** @description Ports now. */
            before: string;
            /** @description Who connects. */
            from: string;
            /** @description To whom. */
            to: string;
        };
        WhyPolicy: {
            /** @description Its name, with its kind where that is not NetworkPolicy. */
            policy: string;
            /** @description Its rules of the direction. */
            rules: components["schemas"]["WhyRule"][];
            /** @enum {unknown} */
            tier: "Admin" | "NetworkPolicy" | "Baseline";
        };
        WhyRule: {
            /** @description `file:line:column` of it; absent: unknown. */
            at?: string;
            /** @description It made the verdict of this side. */
            decides: boolean;
            /** @enum {unknown} */
            effect: "allow" | "deny" | "pass";
            /** @description Its 0-based place in the list. */
            index: number;
            matches: boolean;
            /** @description Some peer of it is the other end. */
            peer: boolean;
            /** @description Some port of it is the connection's. */
            port: boolean;
            /** @description Who and what that is about, in words. */
            says: string;
        };
        WhySide: {
            /** @description Why, in words. */
            by: string;
            /** @description The policies that select this end, in the order in which they are asked. */
            policies: components["schemas"]["WhyPolicy"][];
            /** @enum {unknown} */
            verdict: "allowed" | "denied";
        };
        /** @description The connection as the engine judges it. */
        WhyTold: {
            /**
             * @description The policies that were in force at that time, or the input's, which may be newer or older.
             * @enum {unknown}
             */
            basis: "of-that-time" | "of-the-input";
            /** @description The record says otherwise: other policies were in force. */
            differs: boolean;
            /** @description The source's side. */
            egress: components["schemas"]["WhySide"];
            /** @description The destination's side. */
            ingress: components["schemas"]["WhySide"];
            /** @enum {unknown} */
            verdict: "allowed" | "denied";
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    complete: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CompleteAt"];
            };
        };
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Completions"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    edge: {
        parameters: {
            query: {
                /** @description Who connects: a place's `id`, or its `end`. */
                from: string;
                /** @description To whom: a place's `id`, or its `end`. */
                to: string;
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
                /** @description Flows before then, written as `since`; until now without it. */
                until?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EdgeDetails"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    events: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Server-sent events with JSON as data. `status`: Status */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["Status"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    findings: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FindingList"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    flows: {
        parameters: {
            query?: {
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
                /** @description Flows before then, written as `since`; until now without it. */
                until?: string;
                /** @description `next` of the page before: goes on where that ends. */
                before?: string;
                /** @description How many records at most. */
                limit?: number;
                /** @description What became of it: ALLOWED or FORWARDED, DENIED or DROPPED, UNKNOWN */
                verdict?: string[];
                /** @description What became of it: ALLOWED or FORWARDED, DENIED or DROPPED, UNKNOWN */
                "not-verdict"?: string[];
                /** @description Either end is in this namespace */
                namespace?: string[];
                /** @description Either end is in this namespace */
                "not-namespace"?: string[];
                /** @description The source is in this namespace */
                "from-namespace"?: string[];
                /** @description The source is in this namespace */
                "not-from-namespace"?: string[];
                /** @description The destination is in this namespace */
                "to-namespace"?: string[];
                /** @description The destination is in this namespace */
                "not-to-namespace"?: string[];
                /** @description Either end belongs to this workload: [namespace/][Kind/]name */
                workload?: string[];
                /** @description Either end belongs to this workload: [namespace/][Kind/]name */
                "not-workload"?: string[];
                /** @description The source belongs to this workload */
                "from-workload"?: string[];
                /** @description The source belongs to this workload */
                "not-from-workload"?: string[];
                /** @description The destination belongs to this workload */
                "to-workload"?: string[];
                /** @description The destination belongs to this workload */
                "not-to-workload"?: string[];
                /** @description Either end is a pod whose name begins so: [namespace/]name */
                pod?: string[];
                /** @description Either end is a pod whose name begins so: [namespace/]name */
                "not-pod"?: string[];
                /** @description The source is such a pod */
                "from-pod"?: string[];
                /** @description The source is such a pod */
                "not-from-pod"?: string[];
                /** @description The destination is such a pod */
                "to-pod"?: string[];
                /** @description The destination is such a pod */
                "not-to-pod"?: string[];
                /** @description Either end has these labels: app=web,tier in (a, b), reserved:world */
                label?: string[];
                /** @description Either end has these labels: app=web,tier in (a, b), reserved:world */
                "not-label"?: string[];
                /** @description The source has these labels */
                "from-label"?: string[];
                /** @description The source has these labels */
                "not-from-label"?: string[];
                /** @description The destination has these labels */
                "to-label"?: string[];
                /** @description The destination has these labels */
                "not-to-label"?: string[];
                /** @description Either end was asked for by a Service whose name begins so: [namespace/]name */
                service?: string[];
                /** @description Either end was asked for by a Service whose name begins so: [namespace/]name */
                "not-service"?: string[];
                /** @description The source was asked for by such a Service */
                "from-service"?: string[];
                /** @description The source was asked for by such a Service */
                "not-from-service"?: string[];
                /** @description The destination was asked for by such a Service */
                "to-service"?: string[];
                /** @description The destination was asked for by such a Service */
                "not-to-service"?: string[];
                /** @description Either end has this port */
                port?: string[];
                /** @description Either end has this port */
                "not-port"?: string[];
                /** @description The source has this port */
                "from-port"?: string[];
                /** @description The source has this port */
                "not-from-port"?: string[];
                /** @description The destination has this port */
                "to-port"?: string[];
                /** @description The destination has this port */
                "not-to-port"?: string[];
                /** @description tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number */
                protocol?: string[];
                /** @description tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number */
                "not-protocol"?: string[];
                /** @description Either end has this address, or one of this block */
                ip?: string[];
                /** @description Either end has this address, or one of this block */
                "not-ip"?: string[];
                /** @description The source has this address, or one of this block */
                "from-ip"?: string[];
                /** @description The source has this address, or one of this block */
                "not-from-ip"?: string[];
                /** @description The destination has this address, or one of this block */
                "to-ip"?: string[];
                /** @description The destination has this address, or one of this block */
                "not-to-ip"?: string[];
                /** @description The destination was asked for by this address */
                "snat-ip"?: string[];
                /** @description The destination was asked for by this address */
                "not-snat-ip"?: string[];
                /** @description Either end has this name in DNS; * stands for anything */
                fqdn?: string[];
                /** @description Either end has this name in DNS; * stands for anything */
                "not-fqdn"?: string[];
                /** @description The source has this name in DNS */
                "from-fqdn"?: string[];
                /** @description The source has this name in DNS */
                "not-from-fqdn"?: string[];
                /** @description The destination has this name in DNS */
                "to-fqdn"?: string[];
                /** @description The destination has this name in DNS */
                "not-to-fqdn"?: string[];
                /** @description A policy that decided or isolates: [namespace/]name, 'Kind name' or Kind/namespace/name */
                policy?: string[];
                /** @description A policy that decided or isolates: [namespace/]name, 'Kind name' or Kind/namespace/name */
                "not-policy"?: string[];
                /** @description The rule that decided: 'ingress[0]' or 'shop/web ingress[0]' */
                rule?: string[];
                /** @description The rule that decided: 'ingress[0]' or 'shop/web ingress[0]' */
                "not-rule"?: string[];
                /** @description Which direction was decided: ingress or egress */
                "traffic-direction"?: string[];
                /** @description Which direction was decided: ingress or egress */
                "not-traffic-direction"?: string[];
                /** @description Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it) */
                "drop-reason-desc"?: string[];
                /** @description Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it) */
                "not-drop-reason-desc"?: string[];
                /** @description The node that decided; * stands for anything */
                "node-name"?: string[];
                /** @description The node that decided; * stands for anything */
                "not-node-name"?: string[];
                /** @description Flags of the judged packet, such as SYN,ACK */
                "tcp-flags"?: string[];
                /** @description Flags of the judged packet, such as SYN,ACK */
                "not-tcp-flags"?: string[];
                /** @description IPv4 */
                ipv4?: "true"[];
                /** @description IPv4 */
                "not-ipv4"?: "true"[];
                /** @description IPv6 */
                ipv6?: "true"[];
                /** @description IPv6 */
                "not-ipv6"?: "true"[];
                /** @description Version of IP: v4 or v6 */
                "ip-version"?: string[];
                /** @description Version of IP: v4 or v6 */
                "not-ip-version"?: string[];
                /** @description Either end has this identity: a number, host or world */
                identity?: string[];
                /** @description Either end has this identity: a number, host or world */
                "not-identity"?: string[];
                /** @description The source has this identity */
                "from-identity"?: string[];
                /** @description The source has this identity */
                "not-from-identity"?: string[];
                /** @description The destination has this identity */
                "to-identity"?: string[];
                /** @description The destination has this identity */
                "not-to-identity"?: string[];
                /** @description policy-verdict (all), drop (denied) or trace (allowed) */
                type?: string[];
                /** @description policy-verdict (all), drop (denied) or trace (allowed) */
                "not-type"?: string[];
                /** @description The flow with this id */
                uuid?: string[];
                /** @description The flow with this id */
                "not-uuid"?: string[];
                /** @description What staged policies would decide otherwise */
                staged?: "true"[];
                /** @description What staged policies would decide otherwise */
                "not-staged"?: "true"[];
                /** @description Connections that a policy change cut */
                cut?: "true"[];
                /** @description Connections that a policy change cut */
                "not-cut"?: "true"[];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FlowPage"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    flowStream: {
        parameters: {
            query?: {
                /** @description What became of it: ALLOWED or FORWARDED, DENIED or DROPPED, UNKNOWN */
                verdict?: string[];
                /** @description What became of it: ALLOWED or FORWARDED, DENIED or DROPPED, UNKNOWN */
                "not-verdict"?: string[];
                /** @description Either end is in this namespace */
                namespace?: string[];
                /** @description Either end is in this namespace */
                "not-namespace"?: string[];
                /** @description The source is in this namespace */
                "from-namespace"?: string[];
                /** @description The source is in this namespace */
                "not-from-namespace"?: string[];
                /** @description The destination is in this namespace */
                "to-namespace"?: string[];
                /** @description The destination is in this namespace */
                "not-to-namespace"?: string[];
                /** @description Either end belongs to this workload: [namespace/][Kind/]name */
                workload?: string[];
                /** @description Either end belongs to this workload: [namespace/][Kind/]name */
                "not-workload"?: string[];
                /** @description The source belongs to this workload */
                "from-workload"?: string[];
                /** @description The source belongs to this workload */
                "not-from-workload"?: string[];
                /** @description The destination belongs to this workload */
                "to-workload"?: string[];
                /** @description The destination belongs to this workload */
                "not-to-workload"?: string[];
                /** @description Either end is a pod whose name begins so: [namespace/]name */
                pod?: string[];
                /** @description Either end is a pod whose name begins so: [namespace/]name */
                "not-pod"?: string[];
                /** @description The source is such a pod */
                "from-pod"?: string[];
                /** @description The source is such a pod */
                "not-from-pod"?: string[];
                /** @description The destination is such a pod */
                "to-pod"?: string[];
                /** @description The destination is such a pod */
                "not-to-pod"?: string[];
                /** @description Either end has these labels: app=web,tier in (a, b), reserved:world */
                label?: string[];
                /** @description Either end has these labels: app=web,tier in (a, b), reserved:world */
                "not-label"?: string[];
                /** @description The source has these labels */
                "from-label"?: string[];
                /** @description The source has these labels */
                "not-from-label"?: string[];
                /** @description The destination has these labels */
                "to-label"?: string[];
                /** @description The destination has these labels */
                "not-to-label"?: string[];
                /** @description Either end was asked for by a Service whose name begins so: [namespace/]name */
                service?: string[];
                /** @description Either end was asked for by a Service whose name begins so: [namespace/]name */
                "not-service"?: string[];
                /** @description The source was asked for by such a Service */
                "from-service"?: string[];
                /** @description The source was asked for by such a Service */
                "not-from-service"?: string[];
                /** @description The destination was asked for by such a Service */
                "to-service"?: string[];
                /** @description The destination was asked for by such a Service */
                "not-to-service"?: string[];
                /** @description Either end has this port */
                port?: string[];
                /** @description Either end has this port */
                "not-port"?: string[];
                /** @description The source has this port */
                "from-port"?: string[];
                /** @description The source has this port */
                "not-from-port"?: string[];
                /** @description The destination has this port */
                "to-port"?: string[];
                /** @description The destination has this port */
                "not-to-port"?: string[];
                /** @description tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number */
                protocol?: string[];
                /** @description tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number */
                "not-protocol"?: string[];
                /** @description Either end has this address, or one of this block */
                ip?: string[];
                /** @description Either end has this address, or one of this block */
                "not-ip"?: string[];
                /** @description The source has this address, or one of this block */
                "from-ip"?: string[];
                /** @description The source has this address, or one of this block */
                "not-from-ip"?: string[];
                /** @description The destination has this address, or one of this block */
                "to-ip"?: string[];
                /** @description The destination has this address, or one of this block */
                "not-to-ip"?: string[];
                /** @description The destination was asked for by this address */
                "snat-ip"?: string[];
                /** @description The destination was asked for by this address */
                "not-snat-ip"?: string[];
                /** @description Either end has this name in DNS; * stands for anything */
                fqdn?: string[];
                /** @description Either end has this name in DNS; * stands for anything */
                "not-fqdn"?: string[];
                /** @description The source has this name in DNS */
                "from-fqdn"?: string[];
                /** @description The source has this name in DNS */
                "not-from-fqdn"?: string[];
                /** @description The destination has this name in DNS */
                "to-fqdn"?: string[];
                /** @description The destination has this name in DNS */
                "not-to-fqdn"?: string[];
                /** @description A policy that decided or isolates: [namespace/]name, 'Kind name' or Kind/namespace/name */
                policy?: string[];
                /** @description A policy that decided or isolates: [namespace/]name, 'Kind name' or Kind/namespace/name */
                "not-policy"?: string[];
                /** @description The rule that decided: 'ingress[0]' or 'shop/web ingress[0]' */
                rule?: string[];
                /** @description The rule that decided: 'ingress[0]' or 'shop/web ingress[0]' */
                "not-rule"?: string[];
                /** @description Which direction was decided: ingress or egress */
                "traffic-direction"?: string[];
                /** @description Which direction was decided: ingress or egress */
                "not-traffic-direction"?: string[];
                /** @description Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it) */
                "drop-reason-desc"?: string[];
                /** @description Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it) */
                "not-drop-reason-desc"?: string[];
                /** @description The node that decided; * stands for anything */
                "node-name"?: string[];
                /** @description The node that decided; * stands for anything */
                "not-node-name"?: string[];
                /** @description Flags of the judged packet, such as SYN,ACK */
                "tcp-flags"?: string[];
                /** @description Flags of the judged packet, such as SYN,ACK */
                "not-tcp-flags"?: string[];
                /** @description IPv4 */
                ipv4?: "true"[];
                /** @description IPv4 */
                "not-ipv4"?: "true"[];
                /** @description IPv6 */
                ipv6?: "true"[];
                /** @description IPv6 */
                "not-ipv6"?: "true"[];
                /** @description Version of IP: v4 or v6 */
                "ip-version"?: string[];
                /** @description Version of IP: v4 or v6 */
                "not-ip-version"?: string[];
                /** @description Either end has this identity: a number, host or world */
                identity?: string[];
                /** @description Either end has this identity: a number, host or world */
                "not-identity"?: string[];
                /** @description The source has this identity */
                "from-identity"?: string[];
                /** @description The source has this identity */
                "not-from-identity"?: string[];
                /** @description The destination has this identity */
                "to-identity"?: string[];
                /** @description The destination has this identity */
                "not-to-identity"?: string[];
                /** @description policy-verdict (all), drop (denied) or trace (allowed) */
                type?: string[];
                /** @description policy-verdict (all), drop (denied) or trace (allowed) */
                "not-type"?: string[];
                /** @description The flow with this id */
                uuid?: string[];
                /** @description The flow with this id */
                "not-uuid"?: string[];
                /** @description What staged policies would decide otherwise */
                staged?: "true"[];
                /** @description What staged policies would decide otherwise */
                "not-staged"?: "true"[];
                /** @description Connections that a policy change cut */
                cut?: "true"[];
                /** @description Connections that a policy change cut */
                "not-cut"?: "true"[];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Server-sent events with JSON as data. `flow`: FlowRecord, `lost`: Missed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["FlowRecord"] | components["schemas"]["Missed"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    story: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description A flow's id. */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FlowStory"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    map: {
        parameters: {
            query?: {
                /** @description What the nodes are; `workloads` without it. */
                scope?: "namespaces" | "workloads" | "pods";
                /** @description Only what has an end in one of these namespaces. */
                namespace?: string[];
                /** @description Only this place, by its id, and what it has edges with. */
                focus?: string;
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
                /** @description Flows before then, written as `since`; until now without it. */
                until?: string;
                /** @description How many edges at most. */
                edges?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MapView"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    matrix: {
        parameters: {
            query?: {
                /** @description Only workloads of these namespaces, and what is outside. */
                namespace?: string[];
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
                /** @description Flows before then, written as `since`; until now without it. */
                until?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MatrixView"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    openapi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    places: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Places"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    policies: {
        parameters: {
            query?: {
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyList"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    policy: {
        parameters: {
            query?: {
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
            };
            header?: never;
            path: {
                /** @description The policy's id, `Kind/namespace/name`, percent-encoded as one segment. */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PolicyDetails"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    posture: {
        parameters: {
            query?: {
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
                /** @description Flows before then, written as `since`; until now without it. */
                until?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Posture"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    recommendations: {
        parameters: {
            query?: {
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
                /** @description Only for workloads of these namespaces. */
                namespace?: string[];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Recommendation"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    status: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Status"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    timeline: {
        parameters: {
            query?: {
                /** @description Flows from then on: RFC 3339, or a length such as `10m` before now; all that are kept without it. */
                since?: string;
                /** @description Flows before then, written as `since`; until now without it. */
                until?: string;
                /** @description About how many stretches of time. */
                buckets?: number;
                /** @description What became of it: ALLOWED or FORWARDED, DENIED or DROPPED, UNKNOWN */
                verdict?: string[];
                /** @description What became of it: ALLOWED or FORWARDED, DENIED or DROPPED, UNKNOWN */
                "not-verdict"?: string[];
                /** @description Either end is in this namespace */
                namespace?: string[];
                /** @description Either end is in this namespace */
                "not-namespace"?: string[];
                /** @description The source is in this namespace */
                "from-namespace"?: string[];
                /** @description The source is in this namespace */
                "not-from-namespace"?: string[];
                /** @description The destination is in this namespace */
                "to-namespace"?: string[];
                /** @description The destination is in this namespace */
                "not-to-namespace"?: string[];
                /** @description Either end belongs to this workload: [namespace/][Kind/]name */
                workload?: string[];
                /** @description Either end belongs to this workload: [namespace/][Kind/]name */
                "not-workload"?: string[];
                /** @description The source belongs to this workload */
                "from-workload"?: string[];
                /** @description The source belongs to this workload */
                "not-from-workload"?: string[];
                /** @description The destination belongs to this workload */
                "to-workload"?: string[];
                /** @description The destination belongs to this workload */
                "not-to-workload"?: string[];
                /** @description Either end is a pod whose name begins so: [namespace/]name */
                pod?: string[];
                /** @description Either end is a pod whose name begins so: [namespace/]name */
                "not-pod"?: string[];
                /** @description The source is such a pod */
                "from-pod"?: string[];
                /** @description The source is such a pod */
                "not-from-pod"?: string[];
                /** @description The destination is such a pod */
                "to-pod"?: string[];
                /** @description The destination is such a pod */
                "not-to-pod"?: string[];
                /** @description Either end has these labels: app=web,tier in (a, b), reserved:world */
                label?: string[];
                /** @description Either end has these labels: app=web,tier in (a, b), reserved:world */
                "not-label"?: string[];
                /** @description The source has these labels */
                "from-label"?: string[];
                /** @description The source has these labels */
                "not-from-label"?: string[];
                /** @description The destination has these labels */
                "to-label"?: string[];
                /** @description The destination has these labels */
                "not-to-label"?: string[];
                /** @description Either end was asked for by a Service whose name begins so: [namespace/]name */
                service?: string[];
                /** @description Either end was asked for by a Service whose name begins so: [namespace/]name */
                "not-service"?: string[];
                /** @description The source was asked for by such a Service */
                "from-service"?: string[];
                /** @description The source was asked for by such a Service */
                "not-from-service"?: string[];
                /** @description The destination was asked for by such a Service */
                "to-service"?: string[];
                /** @description The destination was asked for by such a Service */
                "not-to-service"?: string[];
                /** @description Either end has this port */
                port?: string[];
                /** @description Either end has this port */
                "not-port"?: string[];
                /** @description The source has this port */
                "from-port"?: string[];
                /** @description The source has this port */
                "not-from-port"?: string[];
                /** @description The destination has this port */
                "to-port"?: string[];
                /** @description The destination has this port */
                "not-to-port"?: string[];
                /** @description tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number */
                protocol?: string[];
                /** @description tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number */
                "not-protocol"?: string[];
                /** @description Either end has this address, or one of this block */
                ip?: string[];
                /** @description Either end has this address, or one of this block */
                "not-ip"?: string[];
                /** @description The source has this address, or one of this block */
                "from-ip"?: string[];
                /** @description The source has this address, or one of this block */
                "not-from-ip"?: string[];
                /** @description The destination has this address, or one of this block */
                "to-ip"?: string[];
                /** @description The destination has this address, or one of this block */
                "not-to-ip"?: string[];
                /** @description The destination was asked for by this address */
                "snat-ip"?: string[];
                /** @description The destination was asked for by this address */
                "not-snat-ip"?: string[];
                /** @description Either end has this name in DNS; * stands for anything */
                fqdn?: string[];
                /** @description Either end has this name in DNS; * stands for anything */
                "not-fqdn"?: string[];
                /** @description The source has this name in DNS */
                "from-fqdn"?: string[];
                /** @description The source has this name in DNS */
                "not-from-fqdn"?: string[];
                /** @description The destination has this name in DNS */
                "to-fqdn"?: string[];
                /** @description The destination has this name in DNS */
                "not-to-fqdn"?: string[];
                /** @description A policy that decided or isolates: [namespace/]name, 'Kind name' or Kind/namespace/name */
                policy?: string[];
                /** @description A policy that decided or isolates: [namespace/]name, 'Kind name' or Kind/namespace/name */
                "not-policy"?: string[];
                /** @description The rule that decided: 'ingress[0]' or 'shop/web ingress[0]' */
                rule?: string[];
                /** @description The rule that decided: 'ingress[0]' or 'shop/web ingress[0]' */
                "not-rule"?: string[];
                /** @description Which direction was decided: ingress or egress */
                "traffic-direction"?: string[];
                /** @description Which direction was decided: ingress or egress */
                "not-traffic-direction"?: string[];
                /** @description Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it) */
                "drop-reason-desc"?: string[];
                /** @description Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it) */
                "not-drop-reason-desc"?: string[];
                /** @description The node that decided; * stands for anything */
                "node-name"?: string[];
                /** @description The node that decided; * stands for anything */
                "not-node-name"?: string[];
                /** @description Flags of the judged packet, such as SYN,ACK */
                "tcp-flags"?: string[];
                /** @description Flags of the judged packet, such as SYN,ACK */
                "not-tcp-flags"?: string[];
                /** @description IPv4 */
                ipv4?: "true"[];
                /** @description IPv4 */
                "not-ipv4"?: "true"[];
                /** @description IPv6 */
                ipv6?: "true"[];
                /** @description IPv6 */
                "not-ipv6"?: "true"[];
                /** @description Version of IP: v4 or v6 */
                "ip-version"?: string[];
                /** @description Version of IP: v4 or v6 */
                "not-ip-version"?: string[];
                /** @description Either end has this identity: a number, host or world */
                identity?: string[];
                /** @description Either end has this identity: a number, host or world */
                "not-identity"?: string[];
                /** @description The source has this identity */
                "from-identity"?: string[];
                /** @description The source has this identity */
                "not-from-identity"?: string[];
                /** @description The destination has this identity */
                "to-identity"?: string[];
                /** @description The destination has this identity */
                "not-to-identity"?: string[];
                /** @description policy-verdict (all), drop (denied) or trace (allowed) */
                type?: string[];
                /** @description policy-verdict (all), drop (denied) or trace (allowed) */
                "not-type"?: string[];
                /** @description The flow with this id */
                uuid?: string[];
                /** @description The flow with this id */
                "not-uuid"?: string[];
                /** @description What staged policies would decide otherwise */
                staged?: "true"[];
                /** @description What staged policies would decide otherwise */
                "not-staged"?: "true"[];
                /** @description Connections that a policy change cut */
                cut?: "true"[];
                /** @description Connections that a policy change cut */
                "not-cut"?: "true"[];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Timeline"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    whatIf: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Candidate"];
            };
        };
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WhatIf"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
    why: {
        parameters: {
            query: {
                /** @description Who connects: a place's `id`, or its `end`. */
                from: string;
                /** @description To whom: a place's `id`, or its `end`. */
                to: string;
                /** @description `80`, `TCP/80`, `dns`, `TCP/8000-8100`; all without it. */
                port?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The answer. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CanAnswer"];
                };
            };
            /** @description What is wrong, where, and what to do. */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiError"];
                };
            };
        };
    };
}

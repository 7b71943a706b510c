// The shapes of the API's answers, by the names that the page's code uses. They are the server's: npm run types.
import type { components } from './schema';

type Schemas = components['schemas'];

export type Verdict = 'allowed' | 'denied';
export type Losses = Record<string, number>;

export type Status = Schemas['Status'];
export type FlowsStatus = Schemas['FlowsStatus'];
export type Problem = Schemas['Problem'];
export type Place = Schemas['Place'];
export type Places = Schemas['Places'];

export type Posture = Schemas['Posture'];
export type NamespacePosture = Schemas['NamespacePosture'];
export type Exposed = Schemas['Exposed'];
export type DenialLine = Schemas['DenialLine'];
export type Disagreement = Schemas['Disagreement'];
export type Finding = Schemas['CheckFinding'];
export type FindingList = Schemas['FindingList'];

export type Scope = Schemas['Scope'];
export type MapView = Schemas['MapView'];
export type MapGroup = Schemas['MapGroup'];
export type MapNode = Schemas['MapNode'];
export type MapEdge = Schemas['MapEdge'];
export type Seen = Schemas['Seen'];
export type EdgeDetails = Schemas['EdgeDetails'];
export type MatrixParty = Schemas['MatrixParty'];
export type PortRange = Schemas['DiffRange'];
export type MatrixVerdict = Schemas['MatrixVerdict'];
export type MatrixView = Schemas['MatrixView'];

export type CanAnswer = Schemas['CanAnswer'];
export type Explained = Schemas['CanExplained'];
export type Side = Schemas['CanSide'];
export type Change = Schemas['CanChange'];

export type FlowRecord = Schemas['FlowRecord'];
export type FlowVerdict = FlowRecord['verdict'];
export type Endpoint = Schemas['FlowEndpoint'];
export type PolicyRef = Schemas['FlowPolicy'];
export type Decision = Schemas['FlowDecision'];
export type FlowPage = Schemas['FlowPage'];
export type Facet = Schemas['Facet'];
export type Missed = Schemas['Missed'];
export type Timeline = Schemas['Timeline'];
export type FlowStory = Schemas['FlowStory'];
export type ToldSide = Schemas['WhySide'];

export type PolicySummary = Schemas['PolicySummary'];
export type PolicyList = Schemas['PolicyList'];
export type PolicyDetails = Schemas['PolicyDetails'];
export type RuleSummary = Schemas['RuleSummary'];

export type Candidate = Schemas['Candidate'];
export type WhatIf = Schemas['WhatIf'];
export type Diff = Schemas['DiffAnswer'];
export type DiffConnection = Diff['connections'][number];
export type Ends = Schemas['DiffEnds'];
export type DiffCause = Schemas['DiffCause'];
export type Replay = Schemas['ReplayAnswer'];
export type ReplayChange = Schemas['ReplayChange'];
export type Recommendation = Schemas['Recommendation'];
export type Completions = Schemas['Completions'];
export type Completion = Schemas['Completion'];

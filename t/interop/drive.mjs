// Drives the gateway with the published clients, unmodified: @armoriq/sdk
// 0.2.6 through POST /invoke, and the official MCP client with the token as
// its bearer.  Prints one line a call with what came of it and why, and exits
// 0 only if every call ended as it has to and the MCP server saw no other.
//
//     ARMORIQ_API_KEY=... node drive.mjs GATEWAY-URL MCP-SERVER-URL [--json]
//
// MCP-SERVER-URL is the server itself, asked for its counters only.

import { createRequire } from 'node:module';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport }
    from '@modelcontextprotocol/sdk/client/streamableHttp.js';


const require = createRequire(import.meta.url);
const { ArmorIQClient } = require('@armoriq/sdk');

const args = process.argv.slice(2);
const asJson = args.includes('--json');
const [gateway, backend] = args.filter((arg) => arg !== '--json');
const apiKey = process.env.ARMORIQ_API_KEY;

if (!gateway || !backend || !apiKey) {
    console.error('usage: ARMORIQ_API_KEY=... node drive.mjs GATEWAY-URL'
                  + ' MCP-SERVER-URL [--json]');
    process.exit(2);
}

const MCP = 'infra-mcp';

// the SDK talks a lot on stdout, which is for the result here

const say = console.log;

console.log = process.env.ARMORIQ_DRIVE_VERBOSE ? console.error : () => {};


// one line a call

const rows = [];


function report(client, what, call, expected, got, detail)
{
    const ok = got === expected;

    rows.push({ ok, client, what, call, expected, got, detail });

    if (asJson) {
        return;
    }

    say(`${ok ? 'ok    ' : 'WRONG '} ${client.padEnd(11)} `
        + `${what.padEnd(28)} ${call.padEnd(30)} ${got}`
        + (ok ? '' : `, expected ${expected}`)
        + (!ok && detail ? ` (${detail})` : ''));
}


async function counters()
{
    const res = await fetch(`${backend}/_hits`);

    return res.json();
}


function sleep(seconds)
{
    return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}


// what the SDK says of a refusal: "... HTTP 409: STEP_USED"

function sdkReason(err)
{
    const m = /HTTP (\d{3}): (.*)$/.exec(err.message);

    return m ? `${m[1]} ${m[2]}` : `${err.constructor.name}: ${err.message}`;
}


async function sdkCall(client, token, action, params)
{
    try {
        const r = await client.invoke(MCP, action, token, params);
        const content = r.result?.content;

        if (r.result?.isError || !Array.isArray(content)) {
            return ['answer without content', JSON.stringify(r.result)];
        }

        return ['served', content[0]?.text];

    } catch (err) {
        return [sdkReason(err), String(err.message)];
    }
}


// what a refusal looks like on the wire, whoever asks

async function raw(path, headers, body)
{
    const res = await fetch(gateway + path, {
        method: 'POST',
        redirect: 'manual',
        headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            ...headers,
        },
        body: JSON.stringify(body),
    });

    const text = await res.text();
    let reason = res.ok ? 'served' : 'no reason';

    try {
        const obj = JSON.parse(text);

        reason = obj.error?.data?.reason ?? obj.reason ?? obj.error_code
                 ?? reason;

    } catch {
        // SSE, or something that is not ours: the status tells
    }

    return [res.ok ? reason : `${res.status} ${reason}`, text];
}


// the MCP client puts the answer's body into its message

function mcpReason(err)
{
    const status = err.code > 0 ? err.code : '';
    const m = /"reason"\s*:\s*"([A-Z_]+)"/.exec(err.message)
              || (err.data?.reason ? [, err.data.reason] : null);

    return m ? `${status} ${m[1]}`.trim()
             : `${err.constructor.name}: ${err.message}`;
}


async function mcpConnect(bearer)
{
    const client = new Client({ name: 'armoriq-demo', version: '1.0.0' });

    const transport = new StreamableHTTPClientTransport(
        new URL(`${gateway}/mcp`),
        { requestInit: { headers: { Authorization: `Bearer ${bearer}` } } });

    await client.connect(transport);

    return client;
}


async function mcpCall(client, name, params)
{
    try {
        const r = await client.callTool({ name, arguments: params });

        if (r.isError) {
            return ['tool error', JSON.stringify(r.content)];
        }

        return ['served', r.content[0]?.text];

    } catch (err) {
        return [mcpReason(err), String(err.message)];
    }
}


async function run()
{
    const before = await counters();

    const sdk = new ArmorIQClient({
        apiKey,
        userId: 'alice',
        agentId: 'sysadmin',
        iapEndpoint: gateway,
        proxyEndpoint: gateway,
        backendEndpoint: gateway,
    });

    const issue = (goal, steps, seconds = 300) => sdk.getIntentToken(
        sdk.capturePlan('demo-model', goal, {
            goal,
            steps: steps.map(([action, params]) => ({
                action, mcp: MCP, ...(params && { params }),
            })),
        }), undefined, seconds);

    const copy = (token, change) => {
        const t = structuredClone(token);

        change(t);

        return t;
    };

    const restart = { service_id: 'payments' };
    const scale = { service_id: 'payments', replicas: 4 };

    const token = await issue('Restore payments', [
        ['infra.restart', restart],
        ['infra.scale', scale],
        ['alerts.list', {}],
    ]);

    const expiring = await issue('Restore payments, quickly', [
        ['infra.restart', restart],
    ], 1);

    const expiredAt = Date.now() + 2500;

    // the published SDK

    report('SDK 0.2.6', 'planned call', 'infra.restart(payments)', 'served',
           ...await sdkCall(sdk, token, 'infra.restart', restart));

    report('SDK 0.2.6', 'same call again', 'infra.restart(payments)',
           '409 STEP_USED',
           ...await sdkCall(sdk, token, 'infra.restart', restart));

    report('SDK 0.2.6', 'other parameters', 'infra.scale(payments, 40)',
           '409 STEP_PARAMS',
           ...await sdkCall(sdk, token, 'infra.scale',
                            { ...scale, replicas: 40 }));

    // honest SDKs refuse this themselves, so it is sent by hand as well

    const create = { service_id: 'mail', severity: 'info', message: 'x' };
    const [unplanned] = await sdkCall(sdk, token, 'alerts.create', create);

    report('SDK 0.2.6', 'action not in the plan', 'alerts.create(mail)',
           'refused by the SDK itself',
           unplanned.startsWith('IntentMismatchException')
               ? 'refused by the SDK itself' : unplanned);

    const envelope = (action, params, intent) => ({
        mcp: MCP, action, tool: action, params, arguments: params,
        ...(intent && {
            intent_token: intent.rawToken, plan: intent.rawToken.plan,
            token: intent.rawToken.token, csrg_token: intent.rawToken.token,
        }),
    });

    const key = { authorization: `Bearer ${apiKey}`, 'x-api-key': apiKey };

    report('fetch', 'action not in the plan', 'alerts.create(mail)',
           '409 STEP_NOT_PLANNED',
           ...await raw('/invoke', key,
                        envelope('alerts.create', create, token)));

    const flip = (s) => (s[0] === 'a' ? 'b' : 'a') + s.slice(1);

    report('SDK 0.2.6', 'tampered token', 'infra.scale(payments, 4)',
           '401 TOKEN_SIGNATURE',
           ...await sdkCall(sdk, copy(token, (t) => {
               t.rawToken.token.expires_at += 86400;
           }), 'infra.scale', scale));

    report('fetch', 'direct call without token', 'infra.restart(payments)',
           '401 TOKEN_MISSING',
           ...await raw('/invoke', key, envelope('infra.restart', restart)));

    const call = (name, params) => ({
        jsonrpc: '2.0', id: 1, method: 'tools/call',
        params: { name, arguments: params },
    });

    report('fetch', 'direct MCP call, no identity', 'infra.restart(payments)',
           '401 IDENTITY_MISSING',
           ...await raw('/mcp', {}, call('infra.restart', restart)));

    report('fetch', 'direct MCP call, key only', 'infra.restart(payments)',
           '401 TOKEN_MISSING',
           ...await raw('/mcp', { authorization: key.authorization },
                        call('infra.restart', restart)));

    // the refused attempts above have not used the step up

    report('SDK 0.2.6', 'planned call', 'infra.scale(payments, 4)', 'served',
           ...await sdkCall(sdk, token, 'infra.scale', scale));

    // the official MCP client, with a token of its own

    const native = await issue('Look after search', [
        ['alerts.list', { status: 'open' }],
        ['infra.restart', { service_id: 'search' }],
    ]);

    const mcp = await mcpConnect(native.jwtToken);

    const { tools } = await mcp.listTools();

    report('MCP client', 'discovery', 'tools/list',
           'alerts.list, infra.restart',
           tools.map((tool) => tool.name).sort().join(', '));

    report('MCP client', 'planned call', 'alerts.list(open)', 'served',
           ...await mcpCall(mcp, 'alerts.list', { status: 'open' }));

    report('MCP client', 'same call again', 'alerts.list(open)',
           '409 STEP_USED',
           ...await mcpCall(mcp, 'alerts.list', { status: 'open' }));

    report('MCP client', 'other parameters', 'infra.restart(mail)',
           '409 STEP_PARAMS',
           ...await mcpCall(mcp, 'infra.restart', { service_id: 'mail' }));

    report('MCP client', 'action not in the plan', 'infra.scale(payments, 4)',
           '409 STEP_NOT_PLANNED',
           ...await mcpCall(mcp, 'infra.scale', scale));

    const [head, claims, signature] = native.jwtToken.split('.');

    report('fetch', 'tampered token', 'infra.restart(search)',
           '401 TOKEN_SIGNATURE',
           ...await raw('/mcp', {
               authorization: `Bearer ${head}.${claims}.${flip(signature)}`,
           }, call('infra.restart', { service_id: 'search' })));

    report('MCP client', 'planned call', 'infra.restart(search)', 'served',
           ...await mcpCall(mcp, 'infra.restart', { service_id: 'search' }));

    await mcp.close();

    // the SDK looks at its own clock first: let it believe in the token

    await sleep(Math.max(0, expiredAt - Date.now()) / 1000);

    report('SDK 0.2.6', 'expired token', 'infra.restart(payments)',
           '401 TOKEN_EXPIRED',
           ...await sdkCall(sdk, copy(expiring, (t) => {
               t.expiresAt += 3600;
           }), 'infra.restart', restart));

    report('fetch', 'expired token', 'infra.restart(payments)',
           '401 TOKEN_EXPIRED',
           ...await raw('/mcp',
                        { authorization: `Bearer ${expiring.jwtToken}` },
                        call('infra.restart', restart)));

    // nothing else got through

    const after = await counters();
    const served = rows.filter((r) => r.got === 'served').length;

    report('MCP server', 'calls that reached it', '',
           `${served}`, `${after.total - before.total}`);

    report('MCP server', 'credentials that reached it', '',
           '0', `${after.secrets - before.secrets}`);

    const wrong = rows.filter((r) => !r.ok).length;

    if (asJson) {
        say(JSON.stringify({ ok: wrong === 0, rows }));

    } else {
        say(wrong === 0 ? `all ${rows.length} as expected`
                        : `${wrong} of ${rows.length} NOT as expected`);
    }

    return wrong === 0 ? 0 : 1;
}


try {
    process.exit(await run());

} catch (err) {
    console.error(`drive.mjs: ${err.message}`);

    if (process.env.ARMORIQ_DRIVE_VERBOSE) {
        console.error(err);
    }

    process.exit(1);
}

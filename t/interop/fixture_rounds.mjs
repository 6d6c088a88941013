// Tools and a prompt of fixture.mjs that answer "input_required" first, as
// revision 2026-07-28 has it, and with the result when the client has come
// back with what was asked for.

import { randomBytes } from 'node:crypto';

import { CLIENT_CAPABILITIES_META_KEY, acceptedContent, createRequestStateCodec,
         inputRequired } from '@modelcontextprotocol/server';
import { z } from 'zod';


// what a client carries from round to round is sealed, and looked at before
// any tool sees it

export const states = createRequestStateCodec({ key: randomBytes(32) });


const say = (s) => ({ content: [{ type: 'text', text: s }] });
const none = z.object({});


function askFor(name, type, message)
{
    return inputRequired.elicit({
        message,
        requestedSchema: {
            type: 'object',
            properties: { [name]: { type } },
            required: [name],
        },
    });
}


function askModel(question)
{
    return inputRequired.createMessage({
        messages: [{ role: 'user', content: { type: 'text', text: question } }],
        maxTokens: 50,
    });
}


// what came back

const name = (ctx, key) => acceptedContent(ctx.mcpReq.inputResponses, key)?.name;
const reply = (ctx, key) => ctx.mcpReq.inputResponses?.[key]?.content?.text;
const roots = (ctx, key) => ctx.mcpReq.inputResponses?.[key]?.roots;


function addSingle(tool)
{
    tool('test_input_required_result_elicitation', 'Asks for a name', none,
         (args, ctx) => {
             const user = name(ctx, 'user_name');

             return typeof user === 'string'
                 ? say(`Hello, ${user}!`)
                 : inputRequired({ inputRequests: {
                     user_name: askFor('name', 'string', 'Your name?'),
                 } });
         });

    tool('test_input_required_result_sampling', 'Asks the model', none,
         (args, ctx) => {
             const capital = reply(ctx, 'capital_question');

             return typeof capital === 'string'
                 ? say(`The model: ${capital}`)
                 : inputRequired({ inputRequests: {
                     capital_question: askModel('The capital of France?'),
                 } });
         });

    tool('test_input_required_result_list_roots', 'Asks for the roots', none,
         (args, ctx) => {
             const list = roots(ctx, 'client_roots');

             return Array.isArray(list)
                 ? say(`Roots: ${list.map((root) => root.uri).join(', ')}`)
                 : inputRequired({ inputRequests: {
                     client_roots: inputRequired.listRoots(),
                 } });
         });

    tool('test_missing_capability', 'Needs a client with a model', none,
         (args, ctx) => reply(ctx, 'answer') !== undefined
             ? say('The client has a model.')
             : inputRequired({ inputRequests: { answer: askModel('Ping') } }));

    tool('test_streaming_elicitation', 'Asks for nothing', none,
         () => say('No question on the stream.'));
}


function addStates(tool)
{
    const confirm = async (id) => inputRequired({
        inputRequests: { confirm: askFor('ok', 'boolean', 'Is it right?') },
        requestState: await states.mint({ id }),
    });

    for (const id of ['request_state', 'tampered_state']) {
        tool(`test_input_required_result_${id}`, 'Sends a state along', none,
             (args, ctx) => {
                 const known = ctx.mcpReq.requestState()?.id === id;
                 const ok = acceptedContent(ctx.mcpReq.inputResponses,
                                            'confirm');

                 return known && ok !== undefined
                     ? say('state-ok: it is the one that was sent')
                     : confirm(id);
             });
    }

    tool('test_input_required_result_multi_round', 'Asks twice', none,
         async (args, ctx) => {
             const state = ctx.mcpReq.requestState() ?? {};
             const ask = async (key, question, next) => inputRequired({
                 inputRequests: { [key]: askFor('name', 'string', question) },
                 requestState: await states.mint(next),
             });

             switch (state.round) {

             case undefined:
                 return ask('step1', 'Your name?', { round: 1 });

             case 1:
                 return ask('step2', 'The name of your dog?',
                            { round: 2, user: name(ctx, 'step1') });

             default:
                 return say(`${state.user} has ${name(ctx, 'step2')}.`);
             }
         });
}


function addSeveral(tool)
{
    tool('test_input_required_result_multiple_inputs', 'Asks them all', none,
         async (args, ctx) => {
             const user = name(ctx, 'user_name');
             const greeting = reply(ctx, 'greeting');
             const list = roots(ctx, 'client_roots');

             if (user !== undefined && greeting !== undefined
                 && list !== undefined)
             {
                 return say(`${greeting} ${user}, ${list.length} root(s).`);
             }

             return inputRequired({
                 inputRequests: {
                     user_name: askFor('name', 'string', 'Your name?'),
                     greeting: askModel('A greeting?'),
                     client_roots: inputRequired.listRoots(),
                 },
                 requestState: await states.mint({ id: 'several' }),
             });
         });

    // only those that the client has said it can answer

    tool('test_input_required_result_capabilities', 'Asks who can', none,
         (args, ctx) => {
             const can = ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY];

             const inputRequests = {
                 ...(can?.elicitation && {
                     user_name: askFor('name', 'string', 'Your name?'),
                 }),
                 ...(can?.sampling && { greeting: askModel('A greeting?') }),
                 ...(can?.roots && {
                     client_roots: inputRequired.listRoots(),
                 }),
             };

             return ctx.mcpReq.inputResponses !== undefined
                    || Object.keys(inputRequests).length === 0
                 ? say('Nothing more to ask.')
                 : inputRequired({ inputRequests });
         });
}


export function addRounds(tool, server)
{
    addSingle(tool);
    addStates(tool);
    addSeveral(tool);

    server.registerPrompt('test_input_required_result_prompt', {
        description: 'Asks for its context',

    }, (ctx) => {
        const content = acceptedContent(ctx.mcpReq.inputResponses,
                                        'user_context');

        return typeof content?.context === 'string'
            ? { messages: [{
                role: 'user',
                content: { type: 'text', text: `Use: ${content.context}` },
            }] }
            : inputRequired({ inputRequests: {
                user_context: askFor('context', 'string', 'What context?'),
            } });
    });
}

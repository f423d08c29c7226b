import Testing

@testable import BackupModel

@Suite struct `What restored tables need of a target` {
    private let mood = NeededObject(
        type: "type", names: "{public.mood}", arguments: "{}", title: "type public.mood", isRelation: false)
    private let text = NeededObject(
        type: "type", names: "{public.citext}", arguments: "{}", title: "type public.citext", isRelation: false,
        extensionName: "citext")
    private let stamp = NeededObject(
        type: "function", names: "{public,stamp}", arguments: "{}", title: "function public.stamp()", isRelation: false)
    private let members = NeededObject(
        type: "table", names: "{public,members}", arguments: "{}", title: "table public.members", isRelation: true)
    private let trigger = TableAct(.trigger, "stamp \"it\"", on: "public.orders")
    private let policy = TableAct(.policy, "own", on: "public.orders")

    private var needs: TableNeeds {
        TableNeeds(
            references: [
                .init(user: "column a of table public.orders", object: mood),
                .init(user: "column b of table public.orders", object: mood),
                .init(user: "column c of table public.orders", object: text),
                .init(user: "trigger stamp on table public.orders", act: trigger, object: stamp),
                .init(user: "policy own on table public.orders", act: policy, object: members),
            ], policyRoles: [policy: ["app"]])
    }

    @Test func `is refused with all that they cannot be without`() {
        #expect(needs.objects == [mood, text, stamp, members])
        let judgement = needs.judge(absent: [mood, text], labels: [:], roles: ["app"])
        let error = #expect(throws: BackupError.self) { try judgement.requireNothingMissing(in: "shop") }
        #expect(error?.code == .targetUnsuitable && error?.message.contains("'shop'") == true)
        #expect(
            error?.reason == "type public.mood, for column a of table public.orders; "
                + "type public.citext (of the extension citext), for column c of table public.orders")
    }

    @Test func `is complete where only triggers, rules and policies miss something, which are left out`() throws {
        let judgement = needs.judge(absent: [stamp], labels: [:], roles: ["app"])
        try judgement.requireNothingMissing(in: "shop")
        #expect(
            judgement.remarks == [
                "the policy 'own' of public.orders is left out: it refers to the table public.members, which is not "
                    + "chosen",
                "the trigger 'stamp \"it\"' of public.orders is left out: the target has no function public.stamp()",
            ])
        #expect(trigger.removal == "DROP TRIGGER \"stamp \"\"it\"\"\" ON public.orders")
        #expect(needs.judge(absent: [], labels: [:], roles: ["app"]).leftOut.keys.contains(trigger) == false)
    }

    @Test func `leaves out a policy for a role that is missing`() {
        let needs = TableNeeds(references: [], policyRoles: [policy: ["app", "other"]])
        #expect(needs.judge(absent: [], labels: [:], roles: ["app", "other"]).leftOut.isEmpty)
        #expect(
            needs.judge(absent: [], labels: [:], roles: ["app"]).leftOut == [policy: "the target has no role 'other'"])
    }

    @Test func `is refused where an enumeration lacks labels`() {
        let judgement = needs.judge(absent: [], labels: [mood: "'sad'"], roles: ["app"])
        #expect(judgement.missing == ["labels 'sad' of the type public.mood, for column a of table public.orders"])
    }
}

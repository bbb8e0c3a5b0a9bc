using System.Globalization;

namespace Sluice.Bench.Runner;

/// <summary>How the ids of arriving users follow each other: real crowds are scattered, and that is what indexes by user feel.</summary>
internal enum UserOrder
{
    Scattered,
    Ordered,
}

/// <summary>Users and their tokens in files, one file for each of wrk's threads, made before anything is measured.</summary>
internal sealed record Crowd(string TokenPrefix, string UserPrefix, int Users)
{
    /// <summary>The same ids that <c>sluice-baseline insert-limit</c> writes.</summary>
    public static string UserId(long number, UserOrder order) => order switch
    {
        UserOrder.Ordered => string.Create(CultureInfo.InvariantCulture, $"u-{1_000_000_000 + number}"),
        UserOrder.Scattered => string.Create(CultureInfo.InvariantCulture, $"u-{number * 2_654_435_761 % 4_294_967_291}"),
    };

    /// <param name="everybodyInEachThread">Each thread has all users, so that every user asks once through each thread, at about the same time.</param>
    public static async Task<Crowd> MakeAsync(
        SluiceServer server, TempFolder folder, int users, int threads, UserOrder order, CancellationToken cancel, bool everybodyInEachThread = false, string name = "crowd")
    {
        var tokenFiles = Open($"{name}-tokens");
        var userFiles = Open($"{name}-users");
        try
        {
            for (var first = 1; first <= users; first += SluiceServer.TokensPerCall)
            {
                var ids = Enumerable.Range(first, Math.Min(SluiceServer.TokensPerCall, users - first + 1)).Select(number => UserId(number, order)).ToArray();
                var tokens = await server.TokensAsync(ids, cancel);
                for (var index = 0; index < ids.Length; index++)
                {
                    for (var thread = 0; thread < threads; thread++)
                    {
                        if (!everybodyInEachThread && thread != index % threads) continue;
                        await tokenFiles[thread].WriteLineAsync(tokens[index]);
                        await userFiles[thread].WriteLineAsync(ids[index]);
                    }
                }
            }
        }
        finally
        {
            foreach (var file in tokenFiles.Concat(userFiles)) await file.DisposeAsync();
        }

        return new Crowd(folder.File($"{name}-tokens-"), folder.File($"{name}-users-"), users);

        StreamWriter[] Open(string kind) => [.. Enumerable.Range(0, threads).Select(thread => new StreamWriter(folder.File($"{kind}-{thread}.txt")) { NewLine = "\n" })];
    }
}

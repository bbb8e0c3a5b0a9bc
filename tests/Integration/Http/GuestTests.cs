using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Visitors of the demo shop who become somebody.</summary>
public sealed class GuestTests
{
    [Fact]
    public async Task Guest_BeforeAndAfterARestart_IsSomebodyElseEachTime()
    {
        await using var server = await SluiceServer.StartAsync(["Accounts:GuestSessions=true"]);
        var guests = new HashSet<string>(StringComparer.Ordinal);
        for (var start = 0; start < 2; start++)
        {
            for (var guest = 0; guest < 5; guest++)
            {
                var answer = await server.AnswerAsync(new HttpRequestMessage(HttpMethod.Post, "/v1/guest-sessions"));
                Assert.Equal(201, answer.Status);
                Assert.True(guests.Add((string)answer.Json["userId"]!), $"{answer.Text} was handed out before");
            }

            await server.KillAsync();
            await server.BeginAsync();
        }
    }
}

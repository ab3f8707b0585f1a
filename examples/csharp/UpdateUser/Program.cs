// Updates one user, as the vendor's documentation shows it; the key stands in COMMBOX_API_KEY.
using CommBox;

try
{
    using var client = new CommBoxClient();
    UpdateResult result = client.UpdateUser(94382332, new UserInfo
    {
        UniqueId = "0123456789",
        FirstName = "John",
        LastName = "Doe",
        Phone1 = "19175555555",
        Email = "JohnDoe@gmail.com",
        Remarks = "Some remarks about the customer",
        Content = { ["Birth_Date"] = "01-01-1983", ["VIP_Status"] = "8" },
    });
    Console.WriteLine($"user {result.Id} is updated");
    return 0;
}
catch (Exception error) when (error is CommBoxException or DllNotFoundException)
{
    Console.Error.WriteLine(error.Message);
    return 1;
}
